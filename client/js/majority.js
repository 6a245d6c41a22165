// What programs need and pages mostly don't: connections to most of the peers,
// and what a browser does by itself, cookies and a WebSocket.

const name = "ws" // in a variable: no bundler must find it

const node = globalThis.process?.versions?.node && !globalThis.document
const Socket = globalThis.WebSocket ?? (node ? (await import(/* @vite-ignore */ name).catch(() => ({}))).WebSocket : undefined)

export function dial(client, url) {
  const WebSocket = client._options.WebSocket ?? Socket
  if (!WebSocket) throw Object.assign(new Error("this Node.js has no WebSocket: install the package ws"), { final: true })
  return node ? new WebSocket(url, { headers: headers(client) }) : new WebSocket(url)
}
export const headers = ({ cookie, _options }) => ({ ..._options.headers, ...cookie && { Cookie: cookie } })
export function keep(client, answer) {
  const set = answer.headers.getSetCookie?.() ?? []
  client.cookie = set.map(c => c.split(";")[0]).find(c => /^(__Host-)?vera-/.test(c)) ?? client.cookie
}

// learn follows who the peers are, who leads, and where else clients are served.
export function learn(client) {
  client.watch("/vera/peers", ({ items }) => {
    client._peers = items
    client._failing.clear()
    const leader = items.find(i => i.data.role === "leader")?.data.name ?? ""
    const moved = leader && leader !== client.leader
    if (leader) client.leader = leader
    const listed = items.filter(i => !i.data.gone).map(i => i.data.client), given = client._given
    client._urls = [...new Set([...client._urls.filter(u => given.includes(u) || listed.includes(u)), ...listed])]
    client._emit("peers", { items })
    if (moved) for (const connection of client._connections) connection.ping(2000)
    client._changed()
  })
}

// plan brings the connections closer to what they should be:
//
//   - one has notifications: the ears. They are at a peer that does not lead, if
//     there is one, so that one death never takes both
//   - one is at the leader, for changes
//   - with others, quiet ones, they are at more than half of the peers
//
// It is called whenever something changed. What is missing is opened before what
// is too many is closed, and what fails is tried again after everything else.
export function plan(client) {
  const open = client._open(), all = [...client._connections], tried = all.filter(c => !c.joined)
  const voters = client._peers.filter(p => p.data.role !== "observer").map(p => p.data)
  const need = Math.floor((voters.length || client._given.length) / 2) + 1
  if (!client._pause) {
    const ears = tried.every(c => c.quiet) && earsAt(client, open, voters)
    if (ears) client._connect(ears)
    const quiet = client._ears && !tried.some(c => c.quiet) && quietAt(client, open, voters, ears || tried.length ? 0 : need)
    if (quiet) client._connect(quiet, true)
  }
  const idle = open.filter(c => !client._requests.some(r => r.made && r.on === c)) // others are closed when their answers came
  for (const connection of idle) if (surplus(client, connection, client._open(), voters, need)) connection.over(0, undefined, 1000)
}

// peerAt returns which peer a url leads to, as far as that is known.
const peerAt = (client, url, voters) => client._names.get(url) ?? voters.find(v => v.client === url)?.name ?? url
const at = (open, peer) => open.find(c => c.peer === peer)

// earsAt returns where to open a connection with notifications, if one is needed.
function earsAt(client, open, voters) {
  const { _ears: ears, _urls: urls, leader } = client, peer = url => peerAt(client, url, voters)
  const hopeful = urls.filter(url => !client._failing.has(url))
  const sound = url => open.some(c => c !== ears && c.peer === peer(url) && !c.suspended)
  const follows = url => peer(url) !== leader
  if (!ears) return hopeful.find(url => sound(url) && follows(url)) ?? hopeful.find(follows) ?? urls[0]
  if (ears.suspended) return hopeful.find(sound)
  const follower = voter => voter.name !== leader && !voter.gone
  if (ears.peer === leader) return hopeful.find(url => voters.some(v => follower(v) && v.name === peer(url)))
}

// quietAt returns where to open another connection, if one is needed.
function quietAt(client, open, voters, need) {
  const { _urls: urls, _ears: ears, leader } = client, peer = url => peerAt(client, url, voters)
  const free = urls.filter(url => !at(open, peer(url)) && (!voters.length || voters.some(v => v.name === peer(url))))
  const lead = urls.find(url => peer(url) === leader)
  // the leader's place, also where ears that have moved are in it still
  if (lead && !open.some(c => c.peer === leader && (c.quiet || c === ears))) return lead
  if (new Set(open.map(c => c.peer)).size < need) return free.find(url => !client._failing.has(url)) ?? free[0]
}

// surplus says whether a connection may go.
function surplus(client, connection, open, voters, need) {
  const { _ears: ears, leader } = client, { peer, quiet } = connection
  if (!ears || connection === ears) return false
  if (peer === ears.peer) return true
  if (open.some(c => c !== connection && c.quiet && c.peer === peer && (!quiet || c.number < connection.number))) return true
  if (!quiet) return peer !== leader
  const leads = open.some(c => c.peer === leader)
  return open.length > need && peer !== leader && leads
}
