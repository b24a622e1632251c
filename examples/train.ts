/**
 * lightly's example program (`lightly/examples/pytorch_lightning/nnclr.py`) in one call.
 *
 *     npm run setup
 *     node --import=@oxc-node/core/register examples/train.ts            CIFAR-10, downloaded once
 *     node --import=@oxc-node/core/register examples/train.ts photos/    or a folder of pictures
 */

import { CIFAR10, train } from 'nnclr'

// LightlyDataset('path/to/folder')
const [folder, epochs = '10', batchSize = '256'] = process.argv.slice(2)
// torchvision.datasets.CIFAR10('datasets/cifar10', download=True)
const cifar = (split: 'train' | 'test') =>
  new CIFAR10('runs/datasets/cifar10', { split, download: true })

const run = train({
  data: folder ?? cifar('train'),
  // Not in lightly's program: a kNN score of the test pictures after each epoch.
  validation: folder === undefined ? cifar('test') : null,
  out: 'runs/example',
  overwrite: true,

  // What stands below is the preset's already, workers excepted; it is here for comparison.
  preset: 'lightly',
  // torchvision.models.resnet18(), without its last layer
  backbone: 'resnet18',
  stem: 'imagenet',
  // NNCLRProjectionHead(512, 512, 128): the first 512 follows from the backbone
  projectionHead: { hidden: 512, out: 128 },
  // NNCLRPredictionHead(128, 512, 128): the ends follow from the projection head
  predictionHead: { hidden: 512 },
  // NNMemoryBankModule(size=(4096, 128))
  memoryBank: { size: 4096, warmup: 'random' },
  // NTXentLoss()
  loss: 'nt-xent',
  temperature: 0.5,
  // SimCLRTransform(input_size=32)
  imageSize: 32,
  // DataLoader(batch_size=256, shuffle=True, drop_last=True, num_workers=8)
  batchSize: Number(batchSize),
  dropLast: true,
  workers: 8,
  // torch.optim.SGD(lr=0.06)
  optimizer: 'sgd',
  lr: 0.06,
  momentum: 0,
  weightDecay: 0,
  schedule: 'constant',
  // pl.Trainer(max_epochs=10, devices=1, accelerator=accelerator)
  epochs: Number(epochs),
  device: 'auto',
})

// trainer.fit(...)
for await (const event of run) {
  if (event.type === 'epoch') console.log(`epoch: ${event.epoch}, loss: ${event.loss.toFixed(5)}`)
  if (event.type === 'evaluation') console.log(`kNN top-1: ${(100 * event.knnTop1).toFixed(1)} %`)
}
const { exported } = await run
console.log(`backbone: ${exported}`)
