/** NNCLR (arXiv 2104.14548): self-supervised visual learning on libtorch. */

export type { JsonSchema } from './config/check.js'
export { configSchema } from './config/json-schema.js'
export type { ResolvedConfig, TrainConfig, TransformSettings } from './config.js'
export { CIFAR10, CIFAR100 } from './data/cifar.js'
export type { DataInput, Dataset, DatasetSource, Sample } from './data/dataset.js'
export { ImageFolder } from './data/image-folder.js'
export { openDataset } from './data/open-dataset.js'
export {
  type DataBatch,
  DataLoader,
  type DataLoaderOptions,
  SimCLRTransform,
  type SimCLRTransformOptions,
} from './data-loader.js'
export { convertSyncBatchNorm, DistributedDataParallel } from './distributed/ddp.js'
export {
  destroyProcessGroup,
  getProcessGroup,
  type InitProcessGroupOptions,
  initProcessGroup,
  ProcessGroup,
} from './distributed/process-group.js'
export { DistributedSampler, type DistributedSamplerOptions } from './distributed/sampler.js'
export {
  type Embedded,
  type EmbedOptions,
  embed,
  type KnnOptions,
  type KnnResult,
  knn,
} from './embed.js'
export type { Neighbour, PictureIndex } from './embedder/picture-index.js'
export {
  type Embedder,
  type EmbedderCall,
  type EmbedderOptions,
  openEmbedder,
} from './embedder.js'
export { type ConfigIssue, type EndedChild, type ErrorCode, NnclrError } from './errors.js'
export type {
  CheckpointEvent,
  Communication,
  EndEvent,
  EpochEvent,
  EvaluationEvent,
  NeighbourHealth,
  StartEvent,
  StepEvent,
  TrainEvent,
  TrainResult,
  WarningEvent,
} from './events.js'
export type { IsolateOptions, RunOptions } from './isolate.js'
export {
  NNCLRPredictionHead,
  NNCLRProjectionHead,
  NNMemoryBankModule,
  NTXentLoss,
  ResNet,
  type ResNetOptions,
  resnet10,
  resnet18,
  resnet34,
  resnet50,
  resnet101,
  resnet152,
} from './nn/layers.js'
export { type LoadReport, Module, type StateDict } from './nn/module.js'
export { loadSafetensors, saveSafetensors } from './nn/safetensors.js'
export {
  AdamW,
  CosineWarmupScheduler,
  clipGradNorm,
  LARS,
  Muon,
  Optimizer,
  type ParameterGroup,
  SGD,
} from './optim.js'
export { PRESET_NAMES, type PresetName, presets } from './presets.js'
export { type SystemInfo, systemInfo } from './system-info.js'
export { type DType, emptyCache, type Numbers, noGrad, synchronize, Tensor } from './tensor.js'
export type { TrainRun } from './train/train-run.js'
export { train } from './train.js'
