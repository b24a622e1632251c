// lightly's distributed example for NNCLR as a hand-written loop: every process has a share of the
// pictures, gradients are averaged, batch norm is synchronised.
//
//     nnclr launch -n 2 examples/distributed.ts DATA
//     torchrun --no-python --nproc-per-node 2 \
//         node --import=@oxc-node/core/register examples/distributed.ts DATA
//
// DATA is a folder of pictures, or a folder with CIFAR-10's binary files.
//
// In one call, which starts its processes by itself; its batchSize is that of all of them:
//
//     await train({ data: 'photos/', out: 'runs/two', preset: 'lightly', batchSize: 512, devices: 2 })
//
// The settings do not follow the paper: as in the original they are chosen so that the example runs
// on a small data set.

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  CIFAR10,
  convertSyncBatchNorm,
  DataLoader,
  DistributedDataParallel,
  DistributedSampler,
  initProcessGroup,
  Module,
  NNCLRPredictionHead,
  NNCLRProjectionHead,
  NNMemoryBankModule,
  NTXentLoss,
  openDataset,
  type ResNet,
  resnet18,
  SGD,
  SimCLRTransform,
  type Tensor,
} from 'nnclr'

class NNCLR extends Module {
  readonly backbone: ResNet = resnet18()
  readonly projectionHead: NNCLRProjectionHead = new NNCLRProjectionHead(512, 512, 128)
  readonly predictionHead: NNCLRPredictionHead = new NNCLRPredictionHead(128, 512, 128)

  forward(x: Tensor): [z: Tensor, p: Tensor] {
    const y = this.backbone.forward(x).flatten(1)
    const z = this.projectionHead.forward(y)
    const p = this.predictionHead.forward(z)
    return [z.detach(), p]
  }
}

const [folder = 'datasets/cifar10', epochs = '10', batchSize = '256'] = process.argv.slice(2)

// pl.Trainer(accelerator="gpu") would be initProcessGroup({ backend: 'nccl' })
const group = await initProcessGroup()
const { device } = group
const model = new NNCLR().to(device)
// sync_batchnorm=True
convertSyncBatchNorm(model)
// strategy="ddp"
const ddp = new DistributedDataParallel(model)

// lightly's bank and loss keep to the rows of their own process; without gatherDistributed so do these.
const memoryBank = new NNMemoryBankModule({ size: [4096, 128], gatherDistributed: true }).to(device)
const criterion = new NTXentLoss({ gatherDistributed: true })

const transform = new SimCLRTransform({ inputSize: 32 })
const isCifar = await stat(join(folder, 'cifar-10-batches-bin')).catch(() => null)
const dataset = await openDataset(isCifar === null ? folder : new CIFAR10(folder))
// use_distributed_sampler=True
const sampler = new DistributedSampler(dataset, { shuffle: true })
const dataloader = new DataLoader(dataset, {
  transform,
  sampler,
  // As lightly's: pictures of a step on each process.
  batchSize: Number(batchSize),
  dropLast: true,
  numWorkers: 8,
  device,
})

const optimizer = new SGD(ddp.parameters(), { lr: 0.06 })

const print = (line: string): void => {
  if (group.rank === 0) console.log(line)
}
print('Starting Training')
for (let epoch = 0; epoch < Number(epochs); epoch++) {
  sampler.setEpoch(epoch)
  let totalLoss = 0
  for await (const {
    views: [x0, x1],
  } of dataloader) {
    const [z0, p0] = ddp.forward(x0)
    const [z1, p1] = ddp.forward(x1)
    const n0 = memoryBank.forward(z0, { update: false })
    const n1 = memoryBank.forward(z1, { update: true })
    const loss = criterion.forward(n0, p1).add(criterion.forward(n1, p0)).mul(0.5)
    loss.backward()
    optimizer.step()
    optimizer.zeroGrad()
    totalLoss += await group.allReduce(loss, 'mean').item()
  }
  const averageLoss = totalLoss / (await dataloader.steps())
  print(`epoch: ${String(epoch).padStart(2, '0')}, loss: ${averageLoss.toFixed(5)}`)
}
await dataloader.dispose()
await group.leave()
