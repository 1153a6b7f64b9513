// Pages of another origin in a headless Chromium: the example of confirmed uploads, and what scripts may do with fetch,
// XMLHttpRequest, supabase-js and forms. Its one argument is JSON; it prints one JSON object, scenario -> null or why not.
const assert = require('node:assert/strict')
const { chromium } = require('playwright-core')

const given = JSON.parse(process.argv[2])
const api = `${given.gateway}/storage/v1`
const TIMEOUT_MS = 10_000
const PNG = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64')

const scenarios = {
  async example_native(browser) {
    const page = await open(browser, given.example)
    await choose(page, 'avatar.png', 'image/png', PNG)
    await told(page, 'It waits. Nobody sees it yet.')
    assert.match(await page.textContent('#facts'), new RegExp(`${PNG.length} bytes`))
    assert.equal(await page.locator('#progress').evaluate((bar) => bar.value), 1)
    assert.equal(await page.locator('#gallery img').count(), 0)
    await page.click('#confirm')
    await told(page, 'It is live.')
    await pictures(page, 1)
  },

  async example_native_cancelled(browser) {
    const page = await open(browser, given.example)
    await choose(page, 'avatar.png', 'image/png', PNG)
    await told(page, 'It waits. Nobody sees it yet.')
    await page.click('#cancel')
    await told(page, 'Cancelled.')
    assert.ok(await page.locator('#confirm').isDisabled())
    await pictures(page, 1)
  },

  async example_native_of_a_type_the_bucket_does_not_take(browser) {
    const page = await open(browser, given.example)
    await choose(page, 'avatar.txt', 'text/plain', Buffer.from('no picture'))
    await told(page, 'mime type text/plain is not supported')
    assert.ok(await page.locator('#confirm').isDisabled())
  },

  async example_classic(browser) {
    const page = await open(browser, given.example)
    await page.click('#tab-classic')
    await choose(page, 'avatar.png', 'image/png', PNG)
    await told(page, 'It waits. Nobody sees it yet.')
    assert.match(await page.textContent('#facts'), /ETag"[0-9a-f]{32}"/)
    await page.click('#confirm')
    await told(page, 'It is live.')
    await pictures(page, 2)
  },

  async example_classic_beyond_its_policy(browser) {
    const page = await open(browser, given.example)
    await page.click('#tab-classic')
    await choose(page, 'avatar.txt', 'text/plain', Buffer.from('no picture'))
    await page.waitForSelector('#message.bad')
    assert.match(await page.textContent('#message'), /Policy Condition failed/)
    await choose(page, 'big.png', 'image/png', Buffer.alloc(1_000_001))
    await told(page, 'Your proposed upload exceeds the maximum allowed size')
  },

  async example_classic_never_confirmed(browser) {
    const page = await open(browser, given.example)
    await page.click('#tab-classic')
    await choose(page, 'avatar.png', 'image/png', PNG)
    await told(page, 'It waits. Nobody sees it yet.')
  },

  // The JSON API lets the named origins in, with the headers its clients send, and shows them what they need.
  async json_api_requests_with_preflight(browser) {
    const page = await open(browser, given.page)
    const answers = await page.evaluate(async ({ api, token, bucket }) => {
      const headers = { authorization: `Bearer ${token}`, 'x-upsert': 'true', 'cache-control': 'max-age=60', 'x-client-info': 'page' }
      const put = await fetch(`${api}/object/${bucket}/page.txt`, { method: 'POST', headers, body: 'from a page' })
      const ranged = await fetch(`${api}/object/authenticated/${bucket}/page.txt`, { headers: { ...headers, range: 'bytes=5-8' } })
      const etag = ranged.headers.get('etag')
      const again = await fetch(`${api}/object/authenticated/${bucket}/page.txt`, { headers: { ...headers, 'if-none-match': etag } })
      const missing = await fetch(`${api}/object/authenticated/${bucket}/none`, { headers })
      return {
        put: (await put.json()).Key, status: ranged.status, text: await ranged.text(), range: ranged.headers.get('content-range'),
        length: ranged.headers.get('content-length'), cache: ranged.headers.get('cache-control'), etag, again: again.status,
        id: put.headers.get('x-request-id'), missing: (await missing.json()).code,
        removed: (await fetch(`${api}/object/${bucket}/page.txt`, { method: 'DELETE', headers })).status,
      }
    }, { api, token: given.serviceKey, bucket: given.bucket })
    assert.match(answers.etag, /^"[0-9a-f]{32}"$/)
    assert.match(answers.id, /^[0-9A-F]{16}$/)
    delete answers.etag
    delete answers.id
    assert.deepEqual(answers, {
      put: `${given.bucket}/page.txt`, status: 206, text: 'a pa', range: 'bytes 5-8/11', length: '4', cache: 'max-age=60',
      again: 304, missing: 'NoSuchKey', removed: 200,
    })
  },

  async json_api_takes_no_cookies(browser) {
    const page = await open(browser, given.page)
    const fetched = (credentials) => page.evaluate(
      ({ url, credentials }) => fetch(url, { credentials }).then((answer) => answer.status, () => 'refused by the browser'),
      { url: `${api}/status`, credentials })
    assert.deepEqual([await fetched('omit'), await fetched('include')], [200, 'refused by the browser'])
  },

  async json_api_upload_shows_progress(browser) {
    const page = await open(browser, given.page)
    const seen = await page.evaluate(({ api, token, bucket }) => new Promise((resolve, reject) => {
      const request = new XMLHttpRequest()
      let events = 0
      request.upload.onprogress = (event) => { events += event.loaded <= event.total }
      request.onload = () => resolve({ events, status: request.status })
      request.onerror = reject
      request.open('POST', `${api}/object/${bucket}/progress.bin`)
      request.setRequestHeader('authorization', `Bearer ${token}`)
      request.send(new Blob([new Uint8Array(4_000_000)]))
    }), { api, token: given.serviceKey, bucket: given.bucket })
    assert.equal(seen.status, 200)
    assert.ok(seen.events >= 1)
  },

  async json_api_refuses_another_origin(browser) {
    const page = await open(browser, given.stranger)
    const told = await page.evaluate(async ({ api, token }) => {
      const attempts = [
        fetch(`${api}/status`),
        fetch(`${api}/bucket`, { headers: { authorization: `Bearer ${token}` } }),
        fetch(`${api}/status`, { mode: 'no-cors' }).then((answer) => answer.text()),
      ]
      return (await Promise.allSettled(attempts)).map((end) => end.reason?.name ?? end.value)
    }, { api, token: given.serviceKey })
    assert.deepEqual(told, ['TypeError', 'TypeError', ''], 'unreadable, or not even sent')
  },

  // The package as it is published, loaded by the page.
  async supabase_js(browser) {
    const page = await open(browser, given.page)
    await page.addScriptTag({ url: `${given.page}supabase.js` })
    const told = await page.evaluate(async ({ gateway, token, bucket }) => {
      const files = supabase.createClient(gateway, token).storage.from(bucket)
      const good = async (answer) => {
        const { data, error } = await answer
        if (error) throw error
        return data
      }
      const file = new File(['from supabase-js'], 'note.txt', { type: 'text/plain' })
      const uploaded = await good(files.upload('js/note.txt', file, { cacheControl: '60', metadata: { by: 'page' } }))
      const again = await files.upload('js/note.txt', file)
      const signed = await good(files.createSignedUploadUrl('js/signed.txt'))
      await good(files.uploadToSignedUrl(signed.path, signed.token, file))
      const { signedUrl } = await good(files.createSignedUrl('js/note.txt', 60))
      const info = await good(files.info('js/note.txt'))
      return {
        path: uploaded.path, again: [again.error.statusCode, again.error.message],
        text: await (await good(files.download('js/note.txt'))).text(),
        fetched: await (await fetch(signedUrl)).text(),
        info: [info.size, info.contentType, info.cacheControl, info.metadata],
        listed: (await good(files.list('js'))).map(({ name }) => name),
        moved: (await good(files.move('js/signed.txt', 'js/moved.txt'))).message,
        exists: (await files.exists('js/signed.txt')).data,
        removed: (await good(files.remove(['js/note.txt', 'js/moved.txt', 'js/none']))).length,
      }
    }, { gateway: `${given.gateway}`, token: given.serviceKey, bucket: given.bucket })
    assert.deepEqual(told, {
      path: 'js/note.txt', again: ['409', 'The resource already exists'], text: 'from supabase-js', fetched: 'from supabase-js',
      info: [16, 'text/plain', 'max-age=60', { by: 'page' }], listed: ['note.txt', 'signed.txt'], moved: 'Successfully moved',
      exists: false, removed: 2,
    })
  },

  async supabase_js_uploads_what_is_to_be_confirmed(browser) {
    const page = await open(browser, given.page)
    await page.addScriptTag({ url: `${given.page}supabase.js` })
    const told = await page.evaluate(async ({ gateway, api, token, bucket }) => {
      const call = (method, path, document) => fetch(`${api}${path}`, {
        method, body: JSON.stringify(document), headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      }).then((answer) => answer.json())
      const files = supabase.createClient(gateway, token).storage.from(bucket)
      const signed = await call('POST', `/object/upload/sign/${bucket}/js/confirmed.txt`, { confirm: true, expiresIn: 60 })
      const sent = await files.uploadToSignedUrl('js/confirmed.txt', signed.token, new Blob(['unseen'], { type: 'text/plain' }))
      const before = await files.exists('js/confirmed.txt')
      const done = await call('POST', `/object/upload/confirm/${bucket}/js/confirmed.txt`, { token: signed.token })
      const after = await files.download('js/confirmed.txt')
      return { error: sent.error, before: before.data, key: done.Key, text: await after.data.text() }
    }, { gateway: given.gateway, api, token: given.serviceKey, bucket: given.bucket })
    assert.deepEqual(told, { error: null, before: false, key: `${given.bucket}/js/confirmed.txt`, text: 'unseen' })
  },

  // The S3 door goes by the rules of the bucket.
  async s3_presigned_put_and_get(browser) {
    const page = await open(browser, given.page)
    const told = await page.evaluate(async ({ put, get, form }) => {
      const stored = await fetch(put, { method: 'PUT', body: 'presigned', headers: { 'content-type': 'text/plain' } })
      const part = await fetch(get, { headers: { range: 'bytes=0-2' } })
      const whole = await fetch(get)
      const fields = new FormData()
      for (const [name, value] of Object.entries(form.fields)) fields.set(name, value)
      fields.set('file', new Blob(['posted']))
      const posted = await fetch(form.url, { method: 'POST', body: fields })
      return {
        stored: [stored.status, stored.headers.get('etag')], part: [part.status, part.headers.get('content-range'), await part.text()],
        whole: await whole.text(), hidden: whole.headers.get('x-amz-request-id'), posted: posted.status,
      }
    }, given.s3)
    assert.deepEqual(told, {
      stored: [200, '"03885a82b9f4be3c4d5e8e4e2c412759"'], part: [206, 'bytes 0-2/9', 'pre'], whole: 'presigned', hidden: null,
      posted: 204,
    })
  },

  async s3_refuses_another_origin_and_method(browser) {
    const attempt = async (address) => {
      const page = await open(browser, address)
      return page.evaluate(async ({ put, get, remove }) => {
        const headers = { 'content-type': 'text/plain' }
        const attempts = [fetch(get), fetch(put, { method: 'PUT', body: 'x', headers }), fetch(remove, { method: 'DELETE' })]
        return (await Promise.allSettled(attempts)).map((end) => end.reason?.name ?? end.value.status)
      }, given.s3)
    }
    assert.deepEqual(await attempt(given.stranger), ['TypeError', 'TypeError', 'TypeError'])
    assert.deepEqual(await attempt(given.page), [200, 200, 'TypeError'], 'the rule names no DELETE')
  },
}

async function open(browser, address) {
  const page = await browser.newPage()
  page.setDefaultTimeout(TIMEOUT_MS)
  await page.goto(address)
  return page
}

const choose = (page, name, mimeType, buffer) => page.setInputFiles('#file', { name, mimeType, buffer })

const told = (page, text) => page.waitForFunction(
  (text) => document.getElementById('message').textContent === text, text)

const pictures = (page, count) => page.waitForFunction((count) => {
  const shown = [...document.querySelectorAll('#gallery img')]
  return shown.length === count && shown.every((picture) => picture.naturalWidth > 0)
}, count)

async function main() {
  const browser = await chromium.launch({ executablePath: given.chromium, args: ['--no-sandbox', '--no-proxy-server', '--disable-dev-shm-usage'] })
  const ends = {}
  for (const [name, scenario] of Object.entries(scenarios)) {
    const context = await browser.newContext()
    try {
      await scenario(context)
      ends[name] = null
    } catch (error) {
      ends[name] = error.stack
    } finally {
      await context.close()
    }
  }
  await browser.close()
  console.log(JSON.stringify(ends))
}

main()
