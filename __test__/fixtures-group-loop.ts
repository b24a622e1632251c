/** The hand-written loop on one process or several ranks, on made-up pictures. */

import {
  convertSyncBatchNorm,
  DistributedDataParallel,
  Module,
  NNCLRPredictionHead,
  NNCLRProjectionHead,
  NNMemoryBankModule,
  NTXentLoss,
  type ResNet,
  resnet10,
  SGD,
  type StateDict,
  synchronize,
  Tensor,
} from '../ts/index.js'

/** Numbers between -1 and 1, the same for the same seed. */
export function noise(seed: number, shape: readonly number[]): Tensor {
  const numbers = new Float64Array(shape.reduce((product, size) => product * size, 1))
  let state = (seed * 2654435761 + 1) >>> 0
  for (let i = 0; i < numbers.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    numbers[i] = state / 2 ** 31 - 1
  }
  return Tensor.from(numbers, shape)
}

/** A small NNCLR network in float64. */
export class Network extends Module {
  readonly backbone: ResNet
  readonly projectionHead: NNCLRProjectionHead
  readonly predictionHead: NNCLRPredictionHead

  constructor(seed: number) {
    super()
    this.backbone = resnet10({ stem: 'small', seed })
    this.projectionHead = new NNCLRProjectionHead(512, 16, 8, { seed })
    this.predictionHead = new NNCLRPredictionHead(8, 16, 8, { seed })
    this.to('cpu', 'float64')
  }

  forward(x: Tensor): [z: Tensor, p: Tensor] {
    const z = this.projectionHead.forward(this.backbone.forward(x))
    return [z.detach(), this.predictionHead.forward(z)]
  }
}

/** Pictures of a step, over all ranks. */
const BATCH = 8

/** What a loop shares with the other ranks beside gradients. */
export interface CourseOptions {
  /** @default true */
  readonly syncBatchNorm?: boolean
  /** Negatives and the bank's rows. @default true */
  readonly gatherDistributed?: boolean
}

/** What a loop computed. */
export interface Course {
  /** Mean over the ranks, a step each. */
  readonly losses: number[]
  /** Gradients of the last step by name. */
  readonly gradients: StateDict
  /** Parameters and running statistics at the end, and the bank's rows as `bank`. */
  readonly state: StateDict
}

/**
 * The hand-written loop over `steps` batches of which this rank takes its share. A rank's network and
 * bank start from its own seed; those of rank 0 are meant to be everyone's.
 */
export async function course(
  steps: number,
  { rank, worldSize }: { rank: number; worldSize: number },
  { syncBatchNorm = true, gatherDistributed = true }: CourseOptions = {},
): Promise<Course> {
  const plain = new Network(rank)
  const isAlone = worldSize === 1
  if (!isAlone && syncBatchNorm) convertSyncBatchNorm(plain)
  const model = isAlone ? plain : new DistributedDataParallel(plain)
  const bank = new NNMemoryBankModule({ size: [20, 8], dtype: 'float64', gatherDistributed })
  const criterion = new NTXentLoss({ temperature: 0.2, gatherDistributed })
  const optimizer = new SGD(model.parameters(), { lr: 0.05, momentum: 0.9, weightDecay: 1e-4 })
  const rows = BATCH / worldSize
  const losses: number[] = []
  let gradients: StateDict = new Map()
  for (let step = 0; step < steps; step++) {
    // Every row has a seed of its own, so that a share is the same rows wherever it is made.
    const view = (number: number): Tensor =>
      Tensor.cat(
        Array.from({ length: rows }, (_, row) =>
          noise(1000 * step + 10 * (rank * rows + row) + number, [1, 3, 16, 16]),
        ),
      )
    const [z0, p0] = model.forward(view(0))
    const [z1, p1] = model.forward(view(1))
    const n0 = bank.forward(z0, { update: false })
    const n1 = bank.forward(z1, { update: true })
    const loss = criterion.forward(n0, p1).add(criterion.forward(n1, p0)).mul(0.5)
    loss.backward()
    gradients = new Map(plain.namedParameters().map(([name, { grad }]) => [name, grad.mul(1)]))
    optimizer.step()
    optimizer.zeroGrad()
    losses.push(await loss.item())
  }
  return { losses, gradients, state: new Map([...plain.stateDict(), ['bank', bank.rows]]) }
}

/** So many steps of a head that is wrapped, on a made-up batch each. */
export async function headSteps(count: number): Promise<void> {
  const ddp = new DistributedDataParallel(new NNCLRPredictionHead(6, 8, 4))
  for (let step = 0; step < count; step++) {
    const loss = ddp.forward(noise(step, [5, 6]).to('float32')).sum()
    loss.backward()
    await loss.item()
  }
  await synchronize()
}

/** Length of the difference of two sets of tensors, in lengths of the first. */
export async function distance(of: StateDict, to: StateDict): Promise<number> {
  let [difference, length] = [
    Tensor.from(Float64Array.of(0)).sum(),
    Tensor.from(Float64Array.of(0)).sum(),
  ]
  for (const [name, tensor] of of) {
    const other = to.get(name)
    if (other === undefined) throw new Error(`${name} is missing`)
    const [a, b] = [tensor.to('float64'), other.to('float64')]
    difference = difference.add(a.sub(b).mul(a.sub(b)).sum())
    length = length.add(a.mul(a).sum())
  }
  return Math.sqrt((await difference.item()) / (await length.item()))
}
