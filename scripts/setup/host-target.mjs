// The host's target triple. napi names it to cargo; whoever else does shares napi's build of libtorch's
// bindings, four minutes that would otherwise be spent twice.
import { execFileSync } from 'node:child_process'

/** For example `x86_64-unknown-linux-gnu`. */
export function hostTarget() {
  const text = execFileSync('rustc', ['-vV'], { encoding: 'utf8' })
  return /^host: (.+)$/m.exec(text)?.[1] ?? ''
}
