package ws

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

// script is a module that pages import.
type script struct {
	plain, zipped []byte
	tag           string // of plain, without quotes
}

// scriptsOf compresses scripts, once.
func scriptsOf(texts map[string][]byte) map[string]*script {
	scripts := map[string]*script{}
	for path, text := range texts {
		var zipped bytes.Buffer
		z, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
		if err != nil {
			panic("gzip has that level, and yet: " + err.Error())
		}
		_, _ = z.Write(text) // to memory: it cannot fail
		_ = z.Close()
		sum := sha256.Sum256(text)
		scripts[path] = &script{plain: text, zipped: zipped.Bytes(), tag: hex.EncodeToString(sum[:8])}
	}
	return scripts
}

// script serves a module. It is public code, the same for everybody: pages of
// any origin may import it, whatever they may do then.
func (v *visit) script() error {
	s, header := v.site.scripts[v.path], v.w.Header()
	header.Set("Content-Type", "text/javascript; charset=utf-8")
	header.Set("Cache-Control", "no-cache")
	header.Add("Vary", "Accept-Encoding")
	body, tag, zipped := s.plain, s.tag, acceptsGzip(v.r)
	if zipped {
		body, tag = s.zipped, s.tag+"-gzip"
	}
	tag = `"` + tag + `"`
	header.Set("ETag", tag)
	if v.knows(tag, true) {
		v.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if zipped {
		header.Set("Content-Encoding", "gzip")
	}
	v.write(200, body)
	return nil
}

// acceptsGzip says whether the client takes gzip and does not say no to it.
func acceptsGzip(r *http.Request) bool {
	for _, line := range r.Header.Values("Accept-Encoding") {
		for wanted := range strings.SplitSeq(line, ",") {
			name, quality, _ := strings.Cut(strings.ReplaceAll(wanted, " ", ""), ";")
			if strings.EqualFold(name, "gzip") {
				return strings.Trim(strings.TrimPrefix(quality, "q="), "0.") != "" || quality == ""
			}
		}
	}
	return false
}
