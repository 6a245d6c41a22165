// Package js is Vera's client in JavaScript, for browsers and Node, as a peer
// serves it to pages. The same files are the npm package vera.
//
// Invariants:
//
//  1. vera.js is one module without dependencies that works as it is, without
//     a build step. majority.js is loaded by programs and for connections to
//     several peers only.
//  2. Both are served as they are here but for comments, indentation and empty lines. vera.js
//     has then at most 6 KB when compressed by brotli.
package js

import (
	"embed"
	"regexp"
)

//go:embed vera.js majority.js
var files embed.FS

// spare finds lines that are a comment, the comment behind a line's end, what a
// line is indented by, and empty lines. The modules have no other text with two
// slashes behind a space, and none over several lines.
var spare = regexp.MustCompile(`(?m)^[ \t]*//.*\n|^[ \t]+|[ \t]+// .*$|^\n`)

// Scripts returns the modules by the path under which pages import them,
// "/vera.js" and what that imports.
func Scripts() map[string][]byte {
	scripts := map[string][]byte{}
	for _, name := range []string{"vera.js", "majority.js"} {
		text, err := files.ReadFile(name)
		if err != nil {
			panic("client/js: " + name + " is embedded, and yet: " + err.Error())
		}
		scripts["/"+name] = spare.ReplaceAll(text, nil)
	}
	return scripts
}
