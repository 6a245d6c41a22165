// Package js is Vera's client in JavaScript, for browsers and Node, as a peer
// serves it to pages. The same files are the npm package vera.
//
// Invariants:
//
//  1. vera.js is one module without dependencies that works as it is, without
//     a build step. majority.js is loaded by programs and for connections to
//     several peers only.
//  2. Both are served without their comments and otherwise line by line as they
//     are here. vera.js has then at most 6 KB when compressed by brotli.
package js

import (
	"embed"
	"regexp"
)

//go:embed vera.js majority.js
var files embed.FS

// commented finds a comment that ends its line. The modules have no other text
// with two slashes behind a space.
var commented = regexp.MustCompile(`(?m)(^|[ \t])[ \t]*//( .*)?$`)

const notice = "// Vera's client. Its source, with comments and types, is in client/js."

// Scripts returns the modules by the path under which pages import them,
// "/vera.js" and what that imports. Their lines are those of the source, so
// that what a browser says of an error points to the right one.
func Scripts() map[string][]byte {
	scripts := map[string][]byte{}
	for _, name := range []string{"vera.js", "majority.js"} {
		text, err := files.ReadFile(name)
		if err != nil {
			panic("client/js: " + name + " is embedded, and yet: " + err.Error())
		}
		lines := commented.ReplaceAll(text, nil)
		scripts["/"+name] = append([]byte(notice), lines...)
	}
	return scripts
}
