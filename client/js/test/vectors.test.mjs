import assert from "node:assert/strict"
import { mock, test } from "node:test"
import { Stage, settle } from "./stage.mjs"
import { begin, path, vectors } from "./theatre.mjs"

for (const [n, v] of vectors("asks.json").entries()) test(`ask ${n}: ${v.call}`, async t => {
  const [, theatre] = begin(t), client = theatre.client()
  theatre.writes = (socket, m) => socket.ok(m, { index: 101, version: v.version ?? 101 })
  const held = v.version && client.push(v.path, {})
  await settle()
  const sent = []
  const { hear } = theatre
  theatre.hear = (socket, m) => (sent.push(m), hear.call(theatre, socket, m))
  if (v.call === "push") client.push(v.path, v.data, v.options)
  if (v.call === "update") (await held).update(v.data, v.options)
  if (v.call === "remove") (await held).remove(v.options)
  if (v.call === "get") client.get(v.path, v.options)
  if (v.call === "watch") client.watch(v.path, v.options ?? {}, () => {})
  await settle()
  const { rid, ...message } = sent.find(m => m.action === v.call && m.path === v.path) ?? {}
  if (v.message.once === "*") {
    assert.match(message.once, /^.{16,128}$/)
    message.once = "*"
  }
  assert.deepEqual({ ...v.may, ...message }, { ...v.may, ...v.message })
})

for (const v of vectors("lists.json")) test(`list: ${v.name}`, async t => {
  const [stage, theatre] = begin(t), client = theatre.client()
  const answer = v.steps[0].answer
  theatre.watching = (socket, m) => {
    assert.deepEqual([m.items, m.limit], [false, v.limit])
    socket.ok(m, answer)
  }
  const takers = Object.fromEntries(Object.entries(v.takers).map(([name, taker]) => {
    const taken = client.watch(path, taker)[Symbol.asyncIterator]()
    return [name, { taken, waiting: undefined }]
  }))
  await settle()
  for (const [n, step] of v.steps.entries()) {
    for (const { returns } of step.does ?? []) if (returns) {
      theatre.watches = [{ path, items: false, limit: v.limit }]
      theatre.watching = (_, m) => assert.fail("the session has the watch: " + JSON.stringify(m))
      theatre.lose()
      await theatre.until(() => theatre.sockets.size)
    }
    if (n && step.told) for (const socket of theatre.sockets) socket.say(step.told)
    await settle()
    for (const [name, want] of Object.entries(step.looks ?? {})) {
      const got = await look(takers[name])
      assert.deepEqual(got && tell(got), want, `step ${n}, ${name}`)
      const full = got?.items.map(({ version, updated, data }) => ({ version, ...updated && { updated }, data }))
      if (got) assert.deepEqual(full, step.list.slice(0, v.takers[name].limit), `step ${n}, ${name}`)
    }
  }
})

// look is what a taker is told now; null for nothing: then it goes on waiting.
async function look(taker) {
  taker.waiting ??= taker.taken.next().then(told => taker.got = told)
  await settle()
  const { got } = taker
  if (!got) return null
  taker.got = taker.waiting = undefined
  return got.value
}

function tell({ reset, items, added, updated, removed }) {
  const versions = all => all.map(i => i.version)
  return {
    ...reset && { reset }, items: versions(items), added: versions(added), updated: versions(updated),
    removed: removed.map(({ version, reason }) => ({ version, ...reason && { reason } })),
  }
}

for (const random of [0.25, 0.999]) test(`backoff at ${random}`, async t => {
  const all = vectors("backoff.json"), [stage, , playing] = begin(t)
  mock.method(Math, "random", () => random)
  const near = (waited, { below }) => assert.ok(Math.abs(waited - random * below) <= 10, `waited ${waited} of ${below}`)
  for (const v of all.filter(v => !v.failures)) {
    const theatre = playing()
    theatre.client()
    await stage.pass(60_000, 1000)
    const lost = theatre.clock(), tries = theatre.tries.length
    theatre.lose(v.code)
    await stage.pass(300, 5)
    near(theatre.tries[tries] - lost, v)
  }
  const theatre = playing()
  theatre.client()
  await settle()
  theatre.cut()
  await stage.pass(random * 360_000, 10)
  const tries = theatre.tries.slice(1) // the first was before; the next at once
  for (const v of all.filter(v => v.failures)) near(tries[v.failures] - tries[v.failures - 1], v)
})

for (const v of vectors("elections.json")) test(`election: ${v.name}`, async t => {
  const [stage, theatre] = begin(t)
  Object.assign(theatre, { safeMs: v.safeMs, graceMs: v.graceMs ?? v.safeMs, delay: v.delay ?? 0, items: v.list ?? [] })
  const client = theatre.client()
  await settle()
  let next, election, pushes = 0, last
  theatre.writes = (socket, m) => {
    if (m.action === "push") {
      pushes++
      theatre.held = [next]
      theatre.change([...theatre.items, next])
    } else theatre.change(theatre.items.filter(version => version !== m.version), "removed")
    socket.ok(m, { index: theatre.index, version: next, etag: "1", items: [] })
  }
  const began = theatre.clock()
  const check = () => {
    if (!election?.leading) return
    assert.ok(theatre.clock() < theatre.promised, `leads at ${theatre.clock()}; no ping promised more than until ${theatre.promised}`)
    assert.equal(election.signal.aborted, false)
    if (!theatre.muted && theatre.up) assert.equal(theatre.items[0], election.fence)
  }
  for (const at of v.timeline) {
    for (let left; (left = began + at.at - theatre.clock()) > 0; check()) await stage.pass(Math.min(left, 10), 10)
    if (at.elect) {
      next = at.elect
      const begin = () => client.elect(path, {})
      if (at.refused) {
        assert.throws(begin, error => error.code === at.refused.code && error.message.includes(at.refused.says))
        continue
      }
      election = begin()
      for (const event of ["elected", "suspended", "lost"]) election.on(event, told => last = told)
    }
    if (at.push) theatre.change([...theatre.items, at.push])
    if (at.gone) theatre.change(theatre.items.filter(version => version !== at.gone), at.reason)
    if (at.cut) theatre.cut()
    if (at.back) theatre.back(at.resumed)
    if (at.suspended !== undefined) for (const socket of theatre.sockets) socket.say({ action: "state", state: at.suspended ? "suspended" : "connected", safeMs: 0 })
    if (at.close) {
      theatre.back(false)
      await settle()
      theatre.lose(at.close)
    }
    if (at.resign) election.resign()
    if ("safeMs" in at) theatre.safeMs = at.safeMs
    if ("mute" in at) theatre.muted = at.mute
    if (at.wall) stage.wall += at.wall
    if (at.frozen) stage.freeze(at.frozen)
    if (at.asleep) stage.freeze(at.asleep, true)
    theatre.ahead += (at.frozen ?? 0) + (at.asleep ?? 0)
    if (at.expect) {
      const { leads, state, fence, final } = at.expect
      assert.equal(election.leading, leads, `at ${at.at}`)
      if (state) assert.equal(election.state, state, `at ${at.at}`)
      if (fence) assert.equal(election.fence, fence)
      if (final !== undefined) assert.equal(last.final, final, `at ${at.at}`)
    }
  }
  assert.ok(pushes <= 1, `${pushes} items were pushed`)
})

for (const v of vectors("repeats.json")) test(`repeat: ${v.name}`, async t => {
  const [, theatre] = begin(t), client = theatre.client()
  await settle()
  const under = {}, keys = {}, items = {}, removals = {}, results = {}
  let sent = []
  theatre.writes = (socket, m) => {
    const name = m.action === "remove" ? removals[m.version] : m.data.name
    sent.push(name)
    if (m.action === "push") assert.equal(m.once, keys[name] ??= m.once, "another key")
    under[name] = answer => socket.say({ rid: m.rid, ...answer })
  }
  const call = (name, promise) => promise.then(value => results[name] = { value }, error => results[name] = { error })
  for (const step of v.steps) {
    if (step.push) {
      keys[step.push] = step.once
      call(step.push, client.push(path, { name: step.push }, step.once && { once: step.once }).then(i => items[step.push] = i))
    }
    if (step.update) call(step.as, items[step.update].update({ name: step.as }))
    if (step.remove) {
      removals[items[step.remove].version] = step.as
      call(step.as, items[step.remove].remove())
    }
    if (step.answer) {
      const { answer, code = "OK", applied, version } = step
      if (version) {
        theatre.index = Math.max(theatre.index, version)
        if (!theatre.held.includes(version)) theatre.held.push(version)
      }
      under[answer](code === "OK" ? { code, index: theatre.index, etag: "1", version, items: [] } : { code, message: "no", applied })
    }
    if (step.lost) {
      theatre.cut()
      sent = []
    }
    if (step.back) theatre.back(step.resumed)
    await settle()
    if (step.sent) {
      await theatre.until(() => sent.length && sent.length >= step.sent.length)
      assert.deepEqual(step.inAnyOrder ? sent.sort() : sent, step.inAnyOrder ? step.sent.toSorted() : step.sent)
      sent = []
    }
    for (const name of step.gone ?? []) {
      await theatre.until(() => !items[name].held)
      assert.equal(items[name].held, false)
    }
    for (const name of [...step.done ?? [], ...step.failed ?? []]) {
      await theatre.until(() => results[name])
      assert.ok(results[name], `${name} has no result`)
      const { error } = results[name]
      assert.equal(error?.code, step.failed && step.code, error)
      if (step.applied) assert.equal(error.applied, step.applied)
    }
  }
})

// answered has a client ask, and be answered with a vector's text.
async function answered(t, v) {
  const stage = new Stage(t), [client, socket] = await stage.joined()
  const got = client.get(path).then(list => ({ list }), error => ({ error })), { rid } = socket.asked("get", path)
  socket.onmessage({ data: v.text.replace(/^\{("rid":[^,]*,)?/, `{"rid":${rid},`) })
  return got
}

const whole = list => list?.map(({ version, updated, owner, session, data }) => ({
  version: Number(version), ...updated && { updated: Number(updated) }, owner, ...session && { session }, data: typeof data === "string" ? JSON.parse(data) : data,
}))

for (const [n, v] of vectors("answers.json").entries()) {
  if (v.kind === "listing") test(`answer ${n}: a list`, async t => {
    const { list, error } = await answered(t, v), told = list ?? error.listing
    assert.equal(error?.code, v.code === "OK" ? undefined : v.code)
    assert.deepEqual([told.index, told.etag, told.total], [Number(v.index), v.etag, v.total])
    const shown = v.owner === "session" ? v.items.map(i => ({ ...i, owner: i.session ?? i.owner })) : v.items
    assert.deepEqual(whole(told.items), whole(shown))
  })
  if (v.kind === "error") test(`answer ${n}: a refusal`, async t => {
    const { code, message, applied } = (await answered(t, v)).error
    assert.deepEqual([code, message, applied], [v.code, v.message, { no: false, unknown: "unknown" }[v.applied]])
  })
  if (v.kind === "session") test(`answer ${n}: what the session is`, async t => {
    const stage = new Stage(t), client = await stage.connect()
    stage.last.onopen()
    const { rid } = stage.last.asked("session")
    stage.last.onmessage({ data: v.text.replace(/^\{("rid":[^,]*,)?/, `{"rid":${rid},`) })
    assert.deepEqual([client.state, client.session, client.graceMs, client.peer, client.leader], ["connected", v.session, v.graceMs, v.peer, v.leader])
  })
}
