// Balancer is a reverse proxy whose backends are whoever says that they are.
//
//	go -C examples run ./balancer
//
// A backend pushes {"url": …, "weight": …} onto /data/backends and stays there
// for as long as it lives. The proxy watches that list: a new backend has its
// share of the requests at once, and one that died has none from the moment on
// that Vera tells of it. Until then a request that finds nobody there is sent
// to another one; so is one that was under way there, if it may be done twice
// (GET, HEAD, OPTIONS, PUT and DELETE without a body). When all peers of Vera
// are gone the proxy goes on with the backends that it knew last.
//
// The same program makes a backend of anything that listens on $PORT, for as
// long as that runs:
//
//	go -C examples run ./balancer -server URL -backend NAME -- python3 -m http.server
//
// without a command it is one itself, which says its name.
package main
