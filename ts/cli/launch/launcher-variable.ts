/** The variable by which a rank knows the process of the `nnclr launch` that started it. */
export const LAUNCHER = 'NNCLR_LAUNCHER_PID'
