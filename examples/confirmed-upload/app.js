// The page: it asks the back end to sign and to confirm, and sends the picture to Rowlock itself.

const element = (id) => document.getElementById(id)
const PHASES = ['sign', 'upload', 'confirm']

let way = 'native'
let waiting = null // what was signed, once its bytes have arrived

// A call of our own back end.
async function ask(path, document = {}) {
  const answer = await fetch(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(document),
  })
  const told = await answer.json()
  if (!answer.ok) throw new Error(told.message)
  return told
}

// fetch does not tell how much of a body was sent, so this is XMLHttpRequest's.
function send(method, url, body, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open(method, url)
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total)
    request.onerror = () => reject(new Error('The upload did not get through (network, or an origin that is not allowed).'))
    request.onload = () => {
      if (request.status < 300) return resolve(request)
      reject(new Error(/<Message>(.*?)<\/Message>|"message": ?"(.*?)"/.exec(request.responseText)?.slice(1).join('') || `Status ${request.status}`))
    }
    if (body instanceof File) request.setRequestHeader('Content-Type', body.type || 'application/octet-stream')
    request.send(body)
  })
}

const ways = {
  // Rowlock's own: a signed URL whose bytes wait, and a call that makes them live.
  native: {
    async upload(signed, file) {
      const answer = await send('PUT', signed.url, file, showProgress)
      return JSON.parse(answer.responseText)
    },
    cancel: (signed) => ask('/native/cancel', { key: signed.key, id: signed.id }),
  },
  // Any S3's: a form whose policy says what may come, a key under pending/ that a lifecycle rule empties.
  classic: {
    async upload(signed, file) {
      const form = new FormData()
      form.set('Content-Type', file.type)
      for (const [name, value] of Object.entries(signed.fields)) form.set(name, value)
      form.set('file', file) // the last field that counts
      const answer = await send('POST', signed.url, form, showProgress)
      return { size: file.size, content_type: file.type, etag: answer.getResponseHeader('ETag') }
    },
    cancel: async () => {}, // left to the lifecycle rule
  },
}

async function start(file) {
  reset()
  element('preview').src = URL.createObjectURL(file)
  element('preview').hidden = false
  element('hint').hidden = true
  const chosen = way
  try {
    mark('sign', 'busy')
    const signed = await ask(`/${chosen}/sign`)
    mark('sign', 'done')
    mark('upload', 'busy')
    const facts = await ways[chosen].upload(signed, file)
    mark('upload', 'done')
    waiting = { chosen, signed }
    showFacts({ ...facts, expires_at: signed.expires_at })
    say('It waits. Nobody sees it yet.')
    element('confirm').disabled = element('cancel').disabled = false
  } catch (error) {
    fail(error)
  }
}

async function confirmIt() {
  const { chosen, signed } = waiting
  element('confirm').disabled = element('cancel').disabled = true
  mark('confirm', 'busy')
  try {
    await ask(`/${chosen}/confirm`, { key: signed.key, id: signed.id })
    mark('confirm', 'done')
    say('It is live.')
    await showGallery()
  } catch (error) {
    fail(error)
  }
}

async function cancelIt() {
  const { chosen, signed } = waiting
  reset()
  await ways[chosen].cancel(signed).then(() => say('Cancelled.'), fail)
}

async function showGallery() {
  const avatars = await ask('/avatars')
  if (!avatars.length) return
  element('gallery').replaceChildren(
    ...avatars.map(({ name, url }) => Object.assign(new Image(), { src: encodeURI(url), alt: name, title: name })),
  )
}

function showFacts({ size, content_type, etag, expires_at }) {
  const facts = { Size: `${size} bytes`, Type: content_type, ETag: etag, Until: expires_at ?? 'the lifecycle rule of pending/' }
  element('facts').replaceChildren(
    ...Object.entries(facts).flatMap(([name, value]) => [
      Object.assign(document.createElement('dt'), { textContent: name }),
      Object.assign(document.createElement('dd'), { textContent: value }),
    ]),
  )
  element('facts').hidden = false
}

const showProgress = (share) => { element('progress').value = share }

function mark(phase, state) {
  element(`phase-${phase}`).className = state
}

function say(text, bad = false) {
  element('message').textContent = text
  element('message').classList.toggle('bad', bad)
}

function fail(error) {
  const busy = PHASES.find((phase) => element(`phase-${phase}`).className === 'busy')
  if (busy) mark(busy, 'failed')
  say(error.message, true)
}

function reset() {
  waiting = null
  PHASES.forEach((phase) => mark(phase, ''))
  showProgress(0)
  say('')
  element('facts').hidden = true
  element('preview').hidden = true
  element('hint').hidden = false
  element('confirm').disabled = element('cancel').disabled = true
}

for (const tab of document.querySelectorAll('[role="tab"]')) {
  tab.onclick = () => {
    way = tab.dataset.way
    document.querySelectorAll('[role="tab"]').forEach((each) => each.setAttribute('aria-selected', each === tab))
    reset()
  }
}
element('file').onchange = ({ target }) => {
  if (target.files.length) start(target.files[0])
  target.value = ''
}
const drop = element('drop')
drop.ondragover = (event) => { event.preventDefault(); drop.classList.add('over') }
drop.ondragleave = () => drop.classList.remove('over')
drop.ondrop = (event) => {
  event.preventDefault()
  drop.classList.remove('over')
  if (event.dataTransfer.files.length) start(event.dataTransfer.files[0])
}
element('confirm').onclick = confirmIt
element('cancel').onclick = cancelIt
showGallery().catch(fail)
