/**
 * What `nnclr cuda install` fetches: the wheels that torch itself depends on, pinned by checksum,
 * and of each the libraries that `libtorch_cuda.so` opens. A new libtorch means new pins here.
 */

import { NnclrError } from '../errors.js'
import { CUDA_LIBRARY, TORCH_VERSION } from './torch-folder.js'

/** One wheel. */
export interface CudaWheel {
  /** Its name for pip. */
  readonly project: string
  readonly version: string
  readonly sha256: string
  /** Size of the wheel. */
  readonly bytes: number
  /** Platform tags for pip, so that the version of the local Python does not matter. */
  readonly tags: readonly string[]
  /** Members to unpack; one that ends in `/` stands for all below it. */
  readonly take: readonly string[]
}

/** All wheels of a platform. */
export interface CudaPins {
  /** As in Node: `linux-x64`. */
  readonly platform: string
  readonly wheels: readonly CudaWheel[]
  /** Size of what is unpacked. */
  readonly unpackedBytes: number
}

const MANYLINUX_2014 = ['manylinux2014_x86_64', 'manylinux_2_17_x86_64']

function nvidia(
  name: string,
  version: string,
  bytes: number,
  sha256: string,
  tags: readonly string[],
  libraries: readonly string[],
  folder = 'cu13',
): CudaWheel {
  const about = `nvidia_${name.replaceAll('-', '_')}-${version}.dist-info/`
  const take = [...libraries.map((library) => `nvidia/${folder}/lib/${library}`), about]
  return { project: `nvidia-${name}`, version, sha256, bytes, tags, take }
}

const LINUX_X64: CudaPins = {
  platform: 'linux-x64',
  unpackedBytes: 3_100_000_000,
  wheels: [
    {
      project: 'torch',
      version: TORCH_VERSION,
      sha256: '60fcdcb2f3876e21146cb4524ef06397d727ca9ad5f020818547e25075fe3cb7',
      bytes: 526_574_961,
      tags: ['manylinux_2_28_x86_64'],
      take: [
        'torch/version.py',
        `torch/lib/${CUDA_LIBRARY}`,
        'torch/lib/libc10_cuda.so',
        'torch/lib/libtorch_cuda_linalg.so',
        'torch/lib/libcaffe2_nvrtc.so',
        'torch/lib/libtorch_nvshmem.so',
        `torch-${TORCH_VERSION}.dist-info/licenses/`,
      ],
    },
    nvidia(
      'cudnn-cu13',
      '9.20.0.48',
      366_173_588,
      '0c45dd8eeb50b603f07995b1b300c62ffe6a1980482b82b3bcf94a4ca9d49304',
      ['manylinux_2_27_x86_64'],
      [
        'libcudnn.so.9',
        'libcudnn_adv.so.9',
        'libcudnn_cnn.so.9',
        'libcudnn_engines_precompiled.so.9',
        'libcudnn_engines_runtime_compiled.so.9',
        'libcudnn_graph.so.9',
        'libcudnn_heuristic.so.9',
        'libcudnn_ops.so.9',
      ],
      'cudnn',
    ),
    nvidia(
      'cusparselt-cu13',
      '0.8.1',
      170_148_586,
      '786ce87568c303fadb5afcc7102d454cd3040d75f6f8626f5db460d1871f4dd0',
      MANYLINUX_2014,
      ['libcusparseLt.so.0'],
      'cusparselt',
    ),
    nvidia(
      'nccl-cu13',
      '2.29.7',
      205_976_000,
      'edd81538446786ec3b73972543e53bb43bcaf0bfc8ef76cb679fcc390ffe136d',
      ['manylinux_2_18_x86_64'],
      ['libnccl.so.2'],
      'nccl',
    ),
    nvidia(
      'nvshmem-cu13',
      '3.4.5',
      60_412_546,
      '290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80',
      MANYLINUX_2014,
      ['libnvshmem_host.so.3'],
      'nvshmem',
    ),
    nvidia(
      'cublas',
      '13.1.1.3',
      423_138_758,
      '37936a16db8fe4ac1f065c2139360608a543a09275cb1a1af612e08cfa065436',
      ['manylinux_2_27_x86_64'],
      ['libcublas.so.13', 'libcublasLt.so.13'],
    ),
    nvidia(
      'cuda-nvrtc',
      '13.0.88',
      90_215_200,
      'ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575',
      ['manylinux2010_x86_64', 'manylinux_2_12_x86_64'],
      ['libnvrtc.so.13', 'libnvrtc-builtins.so.13.0'],
    ),
    nvidia(
      'cuda-runtime',
      '13.0.96',
      2_243_632,
      '7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548',
      MANYLINUX_2014,
      ['libcudart.so.13'],
    ),
    nvidia(
      'cuda-cupti',
      '13.0.85',
      10_715_597,
      '4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8',
      ['manylinux_2_25_x86_64'],
      ['libcupti.so.13'],
    ),
    nvidia(
      'cufft',
      '12.0.0.61',
      214_085_489,
      '6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3',
      MANYLINUX_2014,
      ['libcufft.so.12'],
    ),
    nvidia(
      'cufile',
      '1.15.1.6',
      1_223_672,
      '08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44',
      MANYLINUX_2014,
      ['libcufile.so.0'],
    ),
    nvidia(
      'curand',
      '10.4.0.35',
      59_544_258,
      '1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc',
      ['manylinux_2_27_x86_64'],
      ['libcurand.so.10'],
    ),
    nvidia(
      'cusolver',
      '12.0.4.66',
      200_941_980,
      '0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112',
      ['manylinux_2_27_x86_64'],
      ['libcusolver.so.12'],
    ),
    nvidia(
      'cusparse',
      '12.6.3.3',
      145_942_937,
      '2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b',
      MANYLINUX_2014,
      ['libcusparse.so.12'],
    ),
    nvidia(
      'nvjitlink',
      '13.5.37',
      46_642_491,
      '280d7cb9649704145f074b8dbde500de04ce02d0872e066e20a83c17bcaa93eb',
      ['manylinux2010_x86_64', 'manylinux_2_12_x86_64'],
      ['libnvJitLink.so.13'],
    ),
  ],
}

/** The pins of a platform. @throws NnclrError DEVICE where there are none. */
export function cudaPins(platform: string = `${process.platform}-${process.arch}`): CudaPins {
  if (platform === LINUX_X64.platform) return LINUX_X64
  const message = `CUDA for ${platform} is not yet offered by nnclr, only for ${LINUX_X64.platform}`
  throw new NnclrError('DEVICE', 'cuda', message)
}
