// Presence serves a page that shows who else looks at it.
//
//	go -C examples run ./presence
//
// Each tab is an item on the list /data/presence: a name, a colour, a status and
// where the mouse is. The tab pushes it, updates it as it changes, and watches
// the list. That is all: when the tab is closed, or its machine is gone, so is
// the item, and everybody is told. A reload keeps it, and so does a network that
// is away for less than the grace; who was away for longer is told so, and comes
// back as somebody new.
//
// The page is index.html, which the browser gets as it is. It imports /vera.js,
// which every peer serves. This program serves the page and hands everything else on
// to a peer, so that the page and Vera are one origin: any reverse proxy in front
// of both does the same. With several peers in -server it goes to the next one
// when one does not answer.
package main
