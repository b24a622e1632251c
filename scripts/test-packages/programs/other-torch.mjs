// Another libtorch is in the process before nnclr: OTHER_TORCH names its library.
try {
  process.dlopen({ exports: {} }, process.env.OTHER_TORCH)
} catch {
  // It is no addon, and stays all the same.
}
await import('./module.mjs')
