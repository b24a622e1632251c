/** Something the user can put right; shown without a stack, one line for each problem. */
export class SetupError extends Error {
  /** @param {string | string[]} problems */
  constructor(problems) {
    const lines = Array.isArray(problems) ? problems : [problems]
    super(lines.join('\n'))
    this.name = 'SetupError'
    this.problems = lines
  }
}
