// What the programs of this folder share: callers, buckets, and the book of which methods were called with what end.
const assert = require('node:assert/strict')
const fs = require('node:fs')
const { createClient } = require('@supabase/supabase-js')

const settings = JSON.parse(process.env.SUPABASE_TARGET)
const { url, anonKey, serviceKey, aliceToken, bobToken } = settings

const service = createClient(url, serviceKey).storage
const anon = createClient(url, anonKey).storage
// the two ways an application hands over a user's token
const alice = createClient(url, anonKey, { global: { headers: { Authorization: `Bearer ${aliceToken}` } } }).storage
const bob = createClient(url, anonKey, { accessToken: async () => bobToken }).storage
const stranger = createClient(url, 'no.good.token').storage

const book = {}

function watch(owner, prototype) {
  for (const name of Object.getOwnPropertyNames(prototype)) {
    const { value } = Object.getOwnPropertyDescriptor(prototype, name)
    if (name === 'constructor' || typeof value !== 'function') continue
    const ends = (book[`${owner}.${name}`] = new Set())
    prototype[name] = function (...given) {
      const result = value.apply(this, given)
      ends.add('called')
      if (result instanceof Promise) {
        result.then((end) => ends.add(end?.error ? 'failed' : 'succeeded'), () => ends.add('failed'))
      }
      return result
    }
  }
}

function chain(object, owners) {
  for (let prototype = Object.getPrototypeOf(object), n = 0; prototype !== Object.prototype; n++) {
    watch(owners[n] ?? `Unknown${n}`, prototype)
    prototype = Object.getPrototypeOf(prototype)
  }
}

const files = service.from('x')
const download = files.download('x')
chain(service, ['StorageClient', 'StorageBucketApi', 'BaseApiClient'])
watch('StorageFileApi', Object.getPrototypeOf(files))
watch('BlobDownloadBuilder', Object.getPrototypeOf(download))
watch('StreamDownloadBuilder', Object.getPrototypeOf(download.asStream()))

process.on('exit', () => {
  const found = Object.fromEntries(Object.entries(book).map(([name, ends]) => [name, [...ends]]))
  fs.writeFileSync(process.env.SUPABASE_BOOK, JSON.stringify(found))
})

let number = 0
const fresh = () => `js-${process.pid}-${++number}`

/** A bucket nobody has used, made by the service role; its name. */
async function makeBucket(options = { public: false }) {
  const name = fresh()
  good(await service.createBucket(name, options))
  return name
}

/** The data of an answer that is a success. */
function good({ data, error }) {
  assert.equal(error, null, error && `${error.name}: ${error.message}`)
  return data
}

/** The error of an answer that is a refusal with this real status, code and (part of a) message. */
function bad({ data, error }, statusCode, code, message) {
  assert.equal(data, null)
  assert.equal(error?.name, 'StorageApiError')
  assert.deepEqual([error.statusCode, error.code], [statusCode, code], error.message)
  if (message !== undefined) assert.match(error.message, message instanceof RegExp ? message : new RegExp(`^${message}$`))
  return error
}

module.exports = { settings, service, anon, alice, bob, stranger, fresh, makeBucket, good, bad }
