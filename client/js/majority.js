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
  client._peers = []
  client.watch("/vera/peers", ({ items }) => {
    client._peers = items
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

export function plan(client) {
  if (!client._connections.size && !client._pause) client._connect(client._urls[0])
}
