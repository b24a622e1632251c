// Beside other packages with machine code, and in a bundle.
import { bundle } from './bundle.mjs'
import { trained } from './expect.mjs'

/** @param {import('./machine.mjs').Machine} machine @returns {Generator<import('./cases.mjs').Case>} */
export function* neighbourCases(machine) {
  const folder = machine.project('neighbours')
  yield {
    name: 'npm 10: install beside sharp, onnxruntime-node and esbuild',
    isNeeded: true,
    work: async () => {
      const names = ['nnclr', 'sharp@0.35.5', 'onnxruntime-node@1.30.0', 'esbuild@0.28.2']
      // onnxruntime-node's script would fetch 400 MB for CUDA, esbuild's only makes it start faster.
      await machine.manage('npm-10', folder, ['install', '--ignore-scripts', ...names])
    },
  }
  const orders = [
    'nnclr,sharp,onnxruntime-node',
    'onnxruntime-node,sharp,nnclr',
    'sharp,nnclr,onnxruntime-node',
  ]
  for (const order of orders) {
    yield {
      name: `in one process: ${order.replaceAll(',', ', ')}`,
      work: async () =>
        trained(await machine.program('22', folder, ['neighbours.mjs'], { ORDER: order })),
    }
  }
  yield {
    name: 'bundled by esbuild with nnclr external',
    work: async () => {
      await bundle(machine, folder, ['--external:nnclr'])
      trained(await machine.program('24', folder, ['bundle/out.mjs']))
    },
  }
}
