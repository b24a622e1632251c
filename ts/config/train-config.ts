/** What a caller writes for one run (`TrainConfig`) and what becomes of it (`ResolvedConfig`). */

import type { DataInput } from '../data/dataset.js'
import type { PresetName } from '../presets.js'
import type {
  CheckpointSettings,
  DistributedSettings,
  EvaluationSettings,
  MemoryBankSettings,
  PredictionHeadSettings,
  ProjectionHeadSettings,
  Settings,
  SettingsGroup,
} from './settings.js'
import type { TransformSettings } from './transform-settings.js'

/** What belongs to one run and comes from no preset. */
export interface RunFields {
  /** Training pictures: a folder, a data set, or an array of paths or samples. */
  data: DataInput
  /** Run directory. Not empty needs `resume` or `overwrite`. lightly-train: `out`. */
  out: string
  /**
   * Validation pictures, or the share of `data` to hold back (above 0, at most 0.5). @default none.
   */
  validation: DataInput | number | null
  /** Where the settings that are not given come from. @default 'default'. */
  preset: PresetName
  /**
   * Backbone weights to start from, a safetensors file. @default none. Without effect on resume.
   */
  weights: string | null
  /** Go on from the newest checkpoint in `out`; starts anew when `out` is empty. @default false. */
  resume: boolean
  /** Remove what an earlier run wrote to `out`, foreign files never. @default false. */
  overwrite: boolean
  /** Stops after the current step, with a checkpoint. @default none. */
  signal: AbortSignal | null
}

type Optional<T> = { [K in keyof T]?: T[K] | undefined }

/** What `train` takes: `data` and `out`, and any setting that differs from the preset. */
export interface TrainConfig
  extends Optional<Omit<Settings, SettingsGroup>>,
    Optional<Omit<RunFields, 'data' | 'out'>>,
    Pick<RunFields, 'data' | 'out'> {
  /** Projection head. */
  projectionHead?: Optional<ProjectionHeadSettings> | undefined
  /** Prediction head. */
  predictionHead?: Optional<PredictionHeadSettings> | undefined
  /** Support set. */
  memoryBank?: Optional<MemoryBankSettings> | undefined
  /** Augmentation of the views. */
  transform?: Optional<TransformSettings> | undefined
  /** kNN evaluation. */
  evaluation?: Optional<EvaluationSettings> | undefined
  /** Checkpoints. */
  checkpoint?: Optional<CheckpointSettings> | undefined
  /** Training on several ranks. */
  distributed?: Optional<DistributedSettings> | undefined
}

/** A complete, checked configuration. What depends on the size of the set may still be `'auto'`. */
export interface ResolvedConfig extends Settings, RunFields {}
