// The hand-written loop: lightly's plain PyTorch example for NNCLR, line for line.
//
//     node --import=@oxc-node/core/register examples/nnclr.ts DATA
//
// DATA is a folder of pictures, or a folder with CIFAR-10's binary files.
//
// The settings do not follow the paper: as in the original they are chosen so that the example runs
// on a small data set with a single device.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CIFAR10,
  DataLoader,
  Module,
  NNCLRPredictionHead,
  NNCLRProjectionHead,
  NNMemoryBankModule,
  NTXentLoss,
  type ResNet,
  resnet18,
  SGD,
  SimCLRTransform,
  type Tensor,
} from 'nnclr'

class NNCLR extends Module {
  readonly backbone: ResNet
  readonly projectionHead: NNCLRProjectionHead = new NNCLRProjectionHead(512, 512, 128)
  readonly predictionHead: NNCLRPredictionHead = new NNCLRPredictionHead(128, 512, 128)

  constructor(backbone: ResNet) {
    super()
    this.backbone = backbone
  }

  forward(x: Tensor): [z: Tensor, p: Tensor] {
    const y = this.backbone.forward(x).flatten(1)
    const z = this.projectionHead.forward(y)
    const p = this.predictionHead.forward(z)
    return [z.detach(), p]
  }
}

const [folder = 'datasets/cifar10', epochs = '10', batchSize = '256'] = process.argv.slice(2)
const device = 'cpu'
const model = new NNCLR(resnet18()).to(device)
const memoryBank = new NNMemoryBankModule({ size: [4096, 128] }).to(device)

const transform = new SimCLRTransform({ inputSize: 32 })
const isCifar = await stat(join(folder, 'cifar-10-batches-bin')).catch(() => null)
const dataloader = new DataLoader(isCifar === null ? folder : new CIFAR10(folder), {
  transform,
  batchSize: Number(batchSize),
  shuffle: true,
  dropLast: true,
  numWorkers: 8,
  device,
})

const criterion = new NTXentLoss()
const optimizer = new SGD(model.parameters(), { lr: 0.06 })

console.log('Starting Training')
for (let epoch = 0; epoch < Number(epochs); epoch++) {
  let totalLoss = 0
  for await (const {
    views: [x0, x1],
  } of dataloader) {
    const [z0, p0] = model.forward(x0)
    const [z1, p1] = model.forward(x1)
    const n0 = memoryBank.forward(z0, { update: false })
    const n1 = memoryBank.forward(z1, { update: true })
    const loss = criterion.forward(n0, p1).add(criterion.forward(n1, p0)).mul(0.5)
    loss.backward()
    optimizer.step()
    optimizer.zeroGrad()
    totalLoss += await loss.item()
  }
  const averageLoss = totalLoss / (await dataloader.steps())
  console.log(`epoch: ${String(epoch).padStart(2, '0')}, loss: ${averageLoss.toFixed(5)}`)
}
await dataloader.dispose()
