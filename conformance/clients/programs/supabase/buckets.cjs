// Every method of supabase-js that is about buckets.
const assert = require('node:assert/strict')
const { test } = require('node:test')
const { StorageClient } = require('@supabase/storage-js')
const { settings, service, anon, alice, stranger, fresh, makeBucket, good, bad } = require('./harness.cjs')

test('createBucket gives back the name, and getBucket every member', async () => {
  const name = fresh()
  assert.deepEqual(good(await service.createBucket(name)), { name })
  const bucket = good(await service.getBucket(name))
  assert.deepEqual(Object.keys(bucket).sort(), [
    'allowed_mime_types', 'created_at', 'file_size_limit', 'id', 'name', 'owner', 'public', 'updated_at',
  ])
  assert.deepEqual([bucket.id, bucket.name, bucket.public], [name, name, false])
  assert.ok(Math.abs(new Date(bucket.created_at) - Date.now()) < 60_000)
})

test('createBucket with limits keeps them: bytes, a text with a unit, mime types', async () => {
  const byNumber = good(await service.getBucket(await makeBucket({ public: true, fileSizeLimit: 1024, allowedMimeTypes: ['image/*', 'text/plain'] })))
  assert.deepEqual([byNumber.public, byNumber.file_size_limit, byNumber.allowed_mime_types], [true, 1024, ['image/*', 'text/plain']])
  const byText = good(await service.getBucket(await makeBucket({ public: false, fileSizeLimit: '20mb' })))
  assert.equal(byText.file_size_limit, 20_000_000)
  const byNull = good(await service.getBucket(await makeBucket({ public: false, fileSizeLimit: null, allowedMimeTypes: null })))
  assert.deepEqual([byNull.file_size_limit, byNull.allowed_mime_types], [null, null])
})

test('createBucket of a name that is taken, or none, or by who may not', async () => {
  const name = await makeBucket()
  bad(await service.createBucket(name), '409', 'ResourceAlreadyExists', 'The resource already exists')
  bad(await service.createBucket('a/b'), '400', 'InvalidBucketName', 'Bucket name invalid')
  bad(await service.createBucket(fresh(), { public: false, fileSizeLimit: '12 parsecs' }), '400', 'InvalidRequest')
  bad(await anon.createBucket(fresh()), '403', 'AccessDenied', /row-level security/)
  bad(await alice.createBucket(fresh()), '403', 'AccessDenied', /row-level security/)
  bad(await stranger.createBucket(fresh()), '403', 'AccessDenied')
})

test('getBucket that is not there, or not to be seen', async () => {
  const name = await makeBucket()
  for (const caller of [anon, alice]) bad(await caller.getBucket(name), '404', 'NoSuchBucket', 'Bucket not found')
  bad(await service.getBucket(fresh()), '404', 'NoSuchBucket', 'Bucket not found')
})

test('listBuckets searches, sorts and pages', async () => {
  const stem = fresh()
  for (const end of ['b', 'a', 'c', 'x_y', 'xzy']) good(await service.createBucket(`${stem}-${end}`))
  const names = async (options) => good(await service.listBuckets({ search: stem, ...options })).map((each) => each.name.slice(stem.length + 1))
  assert.deepEqual(await names({ sortColumn: 'name', sortOrder: 'asc' }), ['a', 'b', 'c', 'x_y', 'xzy'])
  assert.deepEqual(await names({ sortColumn: 'id', sortOrder: 'desc', limit: 2 }), ['xzy', 'x_y'])
  assert.deepEqual(await names({ sortColumn: 'created_at', sortOrder: 'asc', limit: 2, offset: 1 }), ['a', 'c'])
  assert.deepEqual(await names({ sortColumn: 'updated_at', sortOrder: 'desc', limit: 1 }), ['xzy'])
  assert.deepEqual(await names({ search: `${stem}-x_y` }), ['x_y'])
  const [one] = good(await service.listBuckets({ search: `${stem}-a` }))
  assert.equal(one.type, 'STANDARD')
  assert.ok(good(await service.listBuckets()).length >= 5)
})

test('listBuckets shows nobody more than he may see, and refuses what makes no sense', async () => {
  await makeBucket()
  assert.deepEqual(good(await anon.listBuckets()).map((each) => each.name), [settings.visibleBucket])
  bad(await service.listBuckets({ limit: -1 }), '400', 'InvalidRequest')
  bad(await service.listBuckets({ sortColumn: 'owner' }), '400', 'InvalidRequest')
  bad(await stranger.listBuckets(), '403', 'AccessDenied')
})

test('updateBucket changes what it names and leaves the rest', async () => {
  const name = await makeBucket({ public: false, fileSizeLimit: 10, allowedMimeTypes: ['image/png'] })
  assert.deepEqual(good(await service.updateBucket(name, { public: true })), { message: 'Successfully updated' })
  let bucket = good(await service.getBucket(name))
  assert.deepEqual([bucket.public, bucket.file_size_limit, bucket.allowed_mime_types], [true, 10, ['image/png']])
  good(await service.updateBucket(name, { public: false, fileSizeLimit: '1kb', allowedMimeTypes: null }))
  bucket = good(await service.getBucket(name))
  assert.deepEqual([bucket.public, bucket.file_size_limit, bucket.allowed_mime_types], [false, 1000, null])
})

test('updateBucket that is not there, or not his', async () => {
  const name = await makeBucket()
  bad(await service.updateBucket(fresh(), { public: true }), '404', 'NoSuchBucket')
  bad(await alice.updateBucket(name, { public: true }), '404', 'NoSuchBucket')
  assert.equal(good(await service.getBucket(name)).public, false)
})

test('emptyBucket and deleteBucket', async () => {
  const name = await makeBucket()
  for (const key of ['a', 'b/c']) good(await service.from(name).upload(key, 'x'))
  bad(await service.deleteBucket(name), '409', 'ResourceNotEmpty', 'The bucket you tried to delete is not empty')
  assert.match(good(await service.emptyBucket(name)).message, /^Empty bucket has been queued/)
  assert.deepEqual(good(await service.from(name).list()), [])
  assert.deepEqual(good(await service.deleteBucket(name)), { message: 'Successfully deleted' })
  bad(await service.deleteBucket(name), '404', 'NoSuchBucket')
  bad(await service.emptyBucket(name), '404', 'NoSuchBucket')
})

test('emptyBucket and deleteBucket by who may not leave everything', async () => {
  const name = await makeBucket()
  good(await service.from(name).upload('a', 'x'))
  assert.ok((await anon.emptyBucket(name)).error)
  bad(await alice.deleteBucket(name), '404', 'NoSuchBucket')
  assert.equal(good(await service.from(name).list()).length, 1)
})

test('versioningStatus of a bucket, and what keeps versions keeps them', async () => {
  const name = await makeBucket({ public: false, versioningStatus: 'ENABLED' })
  assert.equal(good(await service.getBucket(name)).versioning_status, 'ENABLED')
  good(await service.updateBucket(name, { public: false }))
  assert.equal(good(await service.getBucket(name)).versioning_status, 'ENABLED')
  good(await service.updateBucket(name, { public: false, versioningStatus: 'SUSPENDED' }))
  assert.equal(good(await service.getBucket(name)).versioning_status, 'SUSPENDED')
  bad(await service.updateBucket(name, { public: false, versioningStatus: 'DISABLED' }), '400', 'InvalidRequest')
  bad(await service.createBucket(fresh(), { public: false, versioningStatus: 'SUSPENDED' }), '400', 'InvalidRequest')
})

test('the lifecycle of a bucket: put, seen, replaced, removed', async () => {
  const name = await makeBucket({ public: false, versioningStatus: 'ENABLED' })
  bad(await service.getBucketLifecycle(name), '404', 'NoSuchLifecycleConfiguration')
  const rule = { id: 'old', status: 'Enabled', filter: {}, noncurrentVersionExpiration: { noncurrentDays: 30, newerNoncurrentVersions: 3 } }
  assert.deepEqual(good(await service.updateBucketLifecycle(name, { rules: [rule] })), { rules: [rule] })
  assert.deepEqual(good(await service.getBucketLifecycle(name)), { rules: [rule] })
  const unnamed = { status: 'Disabled', filter: {}, noncurrentVersionExpiration: { noncurrentDays: 1 } }
  const { rules: [{ id, ...rest }] } = good(await service.updateBucketLifecycle(name, { rules: [unnamed] }))
  assert.ok(id)
  assert.deepEqual(rest, unnamed)
  assert.deepEqual(good(await service.deleteBucketLifecycle(name)), { message: 'Successfully deleted' })
  bad(await service.getBucketLifecycle(name), '404', 'NoSuchLifecycleConfiguration')
})

test('the lifecycle of what is not there, or not his, or of nonsense', async () => {
  const name = await makeBucket()
  const rule = { status: 'Enabled', filter: {}, noncurrentVersionExpiration: { noncurrentDays: 30 } }
  for (const [caller, bucket] of [[service, fresh()], [alice, name], [anon, name]]) {
    bad(await caller.getBucketLifecycle(bucket), '404', 'NoSuchBucket')
    bad(await caller.updateBucketLifecycle(bucket, { rules: [rule] }), '404', 'NoSuchBucket')
    bad(await caller.deleteBucketLifecycle(bucket), '404', 'NoSuchBucket')
  }
  bad(await alice.updateBucketLifecycle(settings.sharedBucket, { rules: [rule] }), '403', 'AccessDenied')
  for (const wrong of [{ noncurrentVersionExpiration: { noncurrentDays: 0 } }, { filter: { prefix: 'a' } }, { status: 'On' }, { expiration: { days: 1 } }]) {
    bad(await service.updateBucketLifecycle(name, { rules: [{ ...rule, ...wrong }] }), '400', 'InvalidRequest')
  }
  bad(await service.updateBucketLifecycle(name, { rules: [] }), '400', 'InvalidRequest')
})

test('purgeBucketCache is for the service role', async () => {
  const name = await makeBucket()
  bad(await alice.purgeBucketCache(name), '403', 'AccessDenied')
  bad(await service.purgeBucketCache(name, { transformations: true }), '400', 'MissingParameter', /CDN_PURGE_ENDPOINT_URL/)
})

test('throwOnError makes a refusal an exception', async () => {
  const { StorageApiError } = require('@supabase/storage-js')
  const client = new StorageClient(`${settings.url}/storage/v1`, { Authorization: `Bearer ${settings.serviceKey}` })
  assert.equal((await client.getBucket(fresh())).error.statusCode, '404')
  await assert.rejects(client.throwOnError().getBucket(fresh()), (error) => error instanceof StorageApiError && error.statusCode === '404')
})

test('setHeader is sent, and replaces what was', async () => {
  const client = new StorageClient(`${settings.url}/storage/v1`, { apikey: settings.anonKey })
  bad(await client.listBuckets(), '400', 'InvalidRequest', /authorization/)
  assert.ok(good(await client.setHeader('authorization', `Bearer ${settings.serviceKey}`).listBuckets()).length > 0)
})

test('a given fetch is used, and its failure is no answer of the server', async () => {
  const seen = []
  const client = new StorageClient(`${settings.url}/storage/v1`, { Authorization: `Bearer ${settings.serviceKey}` }, (input, init) => {
    seen.push(new URL(input).pathname)
    return fetch(input, init)
  })
  good(await client.listBuckets({ limit: 1 }))
  assert.deepEqual(seen, ['/storage/v1/bucket'])
  const broken = new StorageClient('http://127.0.0.1:1/storage/v1', {})
  assert.equal((await broken.listBuckets()).error.name, 'StorageUnknownError')
})

test('useNewHostname leaves a host that is not Supabase\'s', async () => {
  const client = new StorageClient(`${settings.url}/storage/v1/`, { Authorization: `Bearer ${settings.serviceKey}` }, undefined, { useNewHostname: true })
  good(await client.listBuckets({ limit: 1 }))
})

test('analytics and vectors are refused as routes that are not there', async () => {
  const { error } = await service.analytics.listBuckets()
  assert.deepEqual([error.status, error.statusCode], [404, '404'])
  const vectors = await service.vectors.listBuckets()
  assert.equal(vectors.error.status, 404)
  bad(await service.createBucket(fresh(), { public: false, type: 'ANALYTICS' }), '501', 'NotImplemented')
})
