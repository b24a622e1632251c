// The loop of examples/nnclr.ts on CIFAR-10, with the kNN score of the backbone after each epoch, for
// docs/results.md.
//
//     node --import=@oxc-node/core/register bench/hand-written.ts TRAIN TEST [EPOCHS]
//
// TRAIN and TEST are folders of pictures by class.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fitToSet, resolveConfig } from '../ts/config.js'
import { knnScore } from '../ts/evaluate.js'
import {
  DataLoader,
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
  saveSafetensors,
  type Tensor,
} from '../ts/index.js'
import { openPictures } from '../ts/loader.js'
import { native } from '../ts/native.js'
import { naturals } from '../ts/sampler.js'
import { createSession, workersOf } from '../ts/session.js'

class NNCLR extends Module {
  readonly backbone: ResNet = resnet18()
  readonly projectionHead: NNCLRProjectionHead = new NNCLRProjectionHead(512, 512, 128)
  readonly predictionHead: NNCLRPredictionHead = new NNCLRPredictionHead(128, 512, 128)

  forward(x: Tensor): [z: Tensor, p: Tensor] {
    const z = this.projectionHead.forward(this.backbone.forward(x).flatten(1))
    return [z.detach(), this.predictionHead.forward(z)]
  }
}

const [data = '', test = '', epochs = '10'] = process.argv.slice(2)
const config = fitToSet(resolveConfig({ data, out: 'unused', preset: 'lightly' }), 50_000)

/** kNN top-1 of the backbone as it is, by the evaluation that `train` uses. */
async function knnTop1(model: NNCLR): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'nnclr-'))
  const session = await createSession(config)
  try {
    const path = join(folder, 'backbone.safetensors')
    await saveSafetensors(path, model.backbone.stateDict())
    await session.importBackbone(path)
    const source = async (pictures: string) => {
      const dataset = await openDataset(pictures)
      const [set, workers] = [openPictures(dataset, config), workersOf(config)]
      const options = { size: config.imageSize, seed: 0, workers, onBadImage: 'error' }
      return { loader: new native.Loader(set, options), indices: naturals(dataset.length) }
    }
    const [references, queries] = [await source(data), await source(test)]
    const vote = { k: 200, temperature: 0.1, classes: 10 }
    const { top1 } = await knnScore(session, references, queries, vote)
    for (const { loader } of [references, queries]) loader.dispose()
    return top1
  } finally {
    session.dispose()
    await rm(folder, { recursive: true })
  }
}

const model = new NNCLR()
const memoryBank = new NNMemoryBankModule({ size: [4096, 128] })
const transform = new SimCLRTransform({ inputSize: 32 })
const loader = new DataLoader(data, { transform, shuffle: true, dropLast: true })
const criterion = new NTXentLoss()
const optimizer = new SGD(model.parameters(), { lr: 0.06 })
for (let epoch = 1; epoch <= Number(epochs); epoch++) {
  const begun = performance.now()
  let total = 0
  for await (const {
    views: [x0, x1],
  } of loader) {
    const [z0, p0] = model.forward(x0)
    const [z1, p1] = model.forward(x1)
    const n0 = memoryBank.forward(z0, { update: false })
    const n1 = memoryBank.forward(z1, { update: true })
    const loss = criterion.forward(n0, p1).add(criterion.forward(n1, p0)).mul(0.5)
    loss.backward()
    optimizer.step()
    optimizer.zeroGrad()
    total += await loss.item()
  }
  const seconds = (performance.now() - begun) / 1000
  const mean = total / (await loader.steps())
  const top1 = await knnTop1(model)
  console.log(
    `epoch ${epoch}: loss ${mean.toFixed(4)}, kNN ${(100 * top1).toFixed(2)} %, ${seconds.toFixed(0)} s`,
  )
}
await loader.dispose()
