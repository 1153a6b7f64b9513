// A reporter for node:test that writes one JSON document a line: {"name", "passed", "said"}.
module.exports = async function* report(source) {
  for await (const { type, data } of source) {
    if (type !== 'test:pass' && type !== 'test:fail') continue
    const cause = data.details?.error?.cause ?? data.details?.error
    yield JSON.stringify({ name: data.name, passed: type === 'test:pass', said: String(cause?.stack ?? cause ?? '') }) + '\n'
  }
}
