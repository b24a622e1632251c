/** The nearest valid word to a mistyped one. */

/** Spelling habits of other languages (`batch_size`, `BatchSize`) are no distance at all. */
function plain(word: string): string {
  return word.replace(/[^a-zA-Z0-9]/g, '').toLowerCase()
}

/** Number of insertions, deletions and replacements that turn `a` into `b` (Levenshtein). */
export function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const replaced = (above[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1)
      const removed = (above[column] ?? 0) + 1
      const inserted = (current[column - 1] ?? 0) + 1
      current.push(Math.min(replaced, removed, inserted))
    }
    above = current
  }
  return above[b.length] ?? 0
}

/** The candidate nearest to `word`, or null when all differ in more than a third of its letters. */
export function nearest(word: string, candidates: readonly string[]): string | null {
  // A key of a megabyte is no typing mistake, and the distance costs its square.
  if (word.length > 64) return null
  let best: string | null = null
  let least = Math.max(1, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = editDistance(plain(word), plain(candidate))
    if (distance < least) {
      best = candidate
      least = distance
    }
  }
  return best
}
