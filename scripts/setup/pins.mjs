// Which libtorch, from which wheels. tch 0.26 works with 2.13.0 alone; a new tch means new pins here.
import { SetupError } from './errors.mjs'

export const LIBTORCH_VERSION = '2.13.0'

/**
 * @typedef {object} Wheel
 * @property {string} project name for pip
 * @property {string} version
 * @property {string} file the wheel's exact file name
 * @property {string | null} sha256 null: nobody has built and tested this platform yet
 * @property {number} bytes size of the wheel, for the progress line
 * @property {string[]} tags platform tags for pip, so that the local Python's version does not matter
 * @property {string[]} take members or folders (ending in `/`) to unpack
 */

/**
 * @typedef {object} Pins
 * @property {string} platform as in Node: `linux-x64`
 * @property {Wheel[]} wheels
 * @property {Record<string, string>} write files made here, path to content
 * @property {string[]} libraries files every complete folder holds
 */

const TORCH_HEADERS = ['torch/include/', 'torch/version.py', 'torch-2.13.0.dist-info/licenses/']

/** @type {Record<string, Pins>} */
const PINS = {
  'linux-x64': {
    platform: 'linux-x64',
    wheels: [
      {
        project: 'torch',
        version: LIBTORCH_VERSION,
        file: 'torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl',
        sha256: '60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7',
        bytes: 526_574_961,
        tags: ['manylinux_2_28_x86_64'],
        take: [
          ...TORCH_HEADERS,
          'torch/lib/libtorch_cpu.so',
          'torch/lib/libc10.so',
          'torch/lib/libgomp.so.1',
        ],
      },
      {
        // This libtorch_cpu.so is the CUDA build's and does not load without the next two.
        project: 'nvidia-cuda-cupti',
        version: '13.0.85',
        file: 'nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl',
        sha256: '4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8',
        bytes: 10_715_597,
        tags: ['manylinux_2_25_x86_64'],
        take: ['nvidia/cu13/lib/libcupti.so.13', 'nvidia_cuda_cupti-13.0.85.dist-info/licenses/'],
      },
      {
        project: 'nvidia-cuda-runtime',
        version: '13.0.96',
        file: 'nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl',
        sha256: '7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548',
        bytes: 2_243_632,
        tags: ['manylinux2014_x86_64', 'manylinux_2_17_x86_64'],
        take: [
          'nvidia/cu13/lib/libcudart.so.13',
          'nvidia_cuda_runtime-13.0.96.dist-info/licenses/',
        ],
      },
    ],
    write: {
      // torch-sys insists on -ltorch; the wheel's own libtorch.so would pull CUDA in.
      'torch/lib/libtorch.so': 'INPUT(-ltorch_cpu -lc10)\n',
      'torch/build-version': `${LIBTORCH_VERSION}\n`,
    },
    libraries: [
      'torch/lib/libtorch.so',
      'torch/lib/libtorch_cpu.so',
      'torch/lib/libc10.so',
      'torch/lib/libgomp.so.1',
      'torch/build-version',
      'torch/include/torch/csrc/api/include/torch/torch.h',
      'nvidia/cu13/lib/libcupti.so.13',
      'nvidia/cu13/lib/libcudart.so.13',
    ],
  },
  'linux-arm64': unbuilt('linux-arm64', 'cp311-cp311-manylinux_2_28_aarch64', [
    'torch/lib/libtorch_cpu.so',
    'torch/lib/libc10.so',
    'torch.libs/',
  ]),
  'darwin-arm64': unbuilt('darwin-arm64', 'cp311-none-macosx_11_0_arm64', [
    'torch/lib/libtorch_cpu.dylib',
    'torch/lib/libc10.dylib',
    'torch/lib/libomp.dylib',
  ]),
  'win32-x64': unbuilt('win32-x64', 'cp311-cp311-win_amd64', ['torch/lib/']),
}

/** A platform whose wheel is known by name only: no checksum, so nothing is downloaded. */
function unbuilt(platform, tag, libraries) {
  return {
    platform,
    wheels: [
      {
        project: 'torch',
        version: LIBTORCH_VERSION,
        file: `torch-${LIBTORCH_VERSION}-${tag}.whl`,
        sha256: null,
        bytes: 0,
        tags: [tag.split('-')[2]],
        take: [...TORCH_HEADERS, ...libraries],
      },
    ],
    write: { 'torch/build-version': `${LIBTORCH_VERSION}\n` },
    libraries: ['torch/build-version'],
  }
}

/**
 * The pins of a platform, or the honest answer that there are none.
 * @param {string} platform @returns {Pins}
 */
export function pinsFor(platform) {
  const pins = PINS[platform]
  if (!pins || pins.wheels.some((wheel) => wheel.sha256 === null)) {
    throw new SetupError(
      `libtorch for ${platform} is not yet built by this project: set LIBTORCH to a folder with libtorch ${LIBTORCH_VERSION} (include/ and lib/) to try it, or use linux-x64.`,
    )
  }
  return pins
}
