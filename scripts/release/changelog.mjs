// The section of a version in CHANGELOG.md.

/**
 * The section's text without its heading: what the release says of itself.
 * @param {string} changelog @param {string} version
 */
export function section(changelog, version) {
  const lines = changelog.split('\n')
  const start = lines.findIndex((line) => line.startsWith(`## [${version}]`))
  if (start < 0) throw new Error(`CHANGELOG.md has no section "## [${version}]"`)
  const length = lines.slice(start + 1).findIndex((line) => /^## /.test(line))
  const end = length < 0 ? lines.length : start + 1 + length
  const text = lines
    .slice(start + 1, end)
    .join('\n')
    .trim()
  if (!/^- /m.test(text)) throw new Error(`the section [${version}] of CHANGELOG.md lists nothing`)
  return text
}

/**
 * The changelog with a date in place of `unreleased`.
 * @param {string} changelog @param {string} version @param {string} date `2026-01-31`
 */
export function dated(changelog, version, date) {
  const heading = `## [${version}] - `
  const at = changelog.indexOf(heading)
  if (at < 0) throw new Error(`CHANGELOG.md has no heading "${heading}unreleased"`)
  const end = changelog.indexOf('\n', at)
  const said = changelog.slice(at + heading.length, end)
  if (said !== 'unreleased') throw new Error(`CHANGELOG.md says [${version}] is of ${said} already`)
  return changelog.slice(0, at) + heading + date + changelog.slice(end)
}

/** Whether a version's heading has its date. @param {string} changelog @param {string} version */
export function isDated(changelog, version) {
  const heading = `## [${version}] - `
  const line = changelog.split('\n').find((one) => one.startsWith(heading)) ?? ''
  return /^\d{4}-\d{2}-\d{2}$/.test(line.slice(heading.length))
}
