/** The augmentation of a view, in the order and with the meaning of lightly's `SimCLRTransform`. */

/** How a random view is made of a picture. Every probability is from 0 to 1. */
export interface TransformSettings {
  /**
   * Area of the crop as a share of the picture, least and most. @default [0.2, 1]. Above 0, at most
   * 1. lightly: `min_scale`.
   */
  cropScale: [number, number]
  /**
   * Width / height of the crop, least and most. @default [3/4, 4/3]. Range 0.01 to 100.
   * torchvision: `ratio`.
   */
  cropRatio: [number, number]
  /** Probability of a left-right flip. @default 0.5. lightly: `hf_prob`. */
  horizontalFlip: number
  /** Probability of an upside-down flip. @default 0. lightly: `vf_prob`. */
  verticalFlip: number
  /** Probability of a rotation. @default 0. lightly: `rr_prob`. */
  rotation: number
  /**
   * Most degrees of rotation to either side; null is 90 degrees exactly. @default null. Range 0 to
   * 180. lightly: `rr_degrees`.
   */
  rotationDegrees: number | null
  /** Probability of colour jitter. @default 0.8. lightly: `cj_prob`. */
  jitter: number
  /** Factor on the four jitters below. @default 0.5. Range 0 to 10. lightly: `cj_strength`. */
  jitterStrength: number
  /** Brightness jitter before the factor. @default 0.8. Range 0 to 10. lightly: `cj_bright`. */
  brightness: number
  /** Contrast jitter before the factor. @default 0.8. Range 0 to 10. lightly: `cj_contrast`. */
  contrast: number
  /** Saturation jitter before the factor. @default 0.8. Range 0 to 10. lightly: `cj_sat`. */
  saturation: number
  /**
   * Hue jitter before the factor, of a full turn. @default 0.2. `hue * jitterStrength` is at most
   * 0.5. lightly: `cj_hue`.
   */
  hue: number
  /** Probability of a grey view. @default 0.2. lightly: `random_gray_scale`. */
  grayscale: number
  /** Probability of a Gaussian blur. @default 0. lightly: `gaussian_blur`. */
  blur: number
  /**
   * Standard deviation of the blur, pixels, least and most. @default [0.1, 2]. Range 0 to 100.
   * lightly: `sigmas`.
   */
  blurSigma: [number, number]
}
