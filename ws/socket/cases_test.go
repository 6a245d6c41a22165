package socket

import (
	"fmt"
	"slices"
	"strings"

	gobwas "github.com/gobwas/ws"

	"vera"
)

func fragments() (all []script) {
	const whole = "Hello-µ@ßöäüàá-UTF-8!! 😀"
	want := []string{whole}
	for i := range len(whole) + 1 {
		first, second := masked(false, gobwas.OpText, whole[:i]), masked(true, gobwas.OpContinuation, whole[i:])
		all = append(all,
			good(fmt.Sprintf("cut at %d", i), want, first, second),
			good(fmt.Sprintf("cut at %d, ping between", i), want, first, ping("between"), second).withPong("between"),
			good(fmt.Sprintf("cut at %d, empty fragment between", i), want, first, masked(false, gobwas.OpContinuation, ""), second))
	}
	single := [][]byte{masked(false, gobwas.OpText, "")}
	for i := range len(whole) {
		single = append(single, masked(false, gobwas.OpContinuation, whole[i:i+1]), ping(fmt.Sprint(i)))
	}
	single = append(single, masked(true, gobwas.OpContinuation, ""))
	return append(all, good("every byte a fragment, pings between", want, single...).withPong(fmt.Sprint(len(whole)-1)),
		good("nothing but empty fragments", []string{""}, masked(false, gobwas.OpText, ""), masked(false, gobwas.OpContinuation, ""), masked(true, gobwas.OpContinuation, "")))
}

// sequences are frames that are well-formed, in an order that is not.
func sequences() []script {
	begin, more, end := masked(false, gobwas.OpText, "a"), masked(false, gobwas.OpContinuation, "b"), masked(true, gobwas.OpContinuation, "c")
	return []script{
		bad("continuation of nothing", vera.CloseProtocol, more),
		bad("end of nothing", vera.CloseProtocol, end),
		bad("continuation after a message", vera.CloseProtocol, text("x"), end),
		bad("continuation after a fragmented message", vera.CloseProtocol, begin, end, end),
		bad("text inside a fragmented text", vera.CloseProtocol, begin, text("x")),
		bad("a fragmented text inside another", vera.CloseProtocol, begin, begin),
		bad("text inside a fragmented text, later", vera.CloseProtocol, begin, more, text("x"), end),
		bad("binary inside a fragmented text", vera.CloseProtocol, begin, masked(true, gobwas.OpBinary, "x")),
		bad("65 empty fragments", vera.ClosePolicy, masked(false, gobwas.OpText, ""), slices.Repeat(masked(false, gobwas.OpContinuation, ""), 64)),
		good("64 empty fragments", []string{"c"}, masked(false, gobwas.OpText, ""), slices.Repeat(masked(false, gobwas.OpContinuation, ""), 63), end),
		good("two fragmented messages", []string{"abc", "abc"}, begin, more, end, begin, more, end),
		{name: "close inside a fragmented text", send: slices.Concat(begin, closeFrame(1001, "")), code: vera.CloseGoingAway, how: vera.EndedLost},
	}
}

func validText() (all []script) {
	for i, s := range []string{"\x00", "\x7f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufffd", "\ufffe", "\uffff", "\U00010000",
		"\U0001fffe", "\U000fffff", "\U0010fffe", "\U0010ffff", "κόσμε", "\ufeff", "日本語", "👨‍👩‍👧", strings.Repeat("é", 9000), "a\u0301", "\r\n\t"} {
		all = append(all, good(fmt.Sprintf("valid %d whole", i), []string{s}, text(s)))
		if len(s) > 100 {
			continue
		}
		parts := [][]byte{masked(false, gobwas.OpText, "")}
		for i := range len(s) {
			parts = append(parts, masked(false, gobwas.OpContinuation, s[i:i+1]))
		}
		all = append(all, good(fmt.Sprintf("valid %d byte by byte", i), []string{s}, append(parts, masked(true, gobwas.OpContinuation, ""))...))
	}
	return all
}

func invalidText() (all []script) {
	for i, s := range []string{"\x80", "\xbf", "\x80\xbf\x80", "\xc0", "\xc0\x80", "\xc0\xaf", "\xc1\xbf", "\xc2", "\xc2 ", "\xdf", "\xe0", "\xe0\x80\x80", "\xe0\x9f\xbf",
		"\xe1\x80", "\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80", "\xef\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf0\x9f\x98", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80", "\xfe", "\xff", "\xfe\xfe\xff\xff", "κόσμε\xed\xa0\x80edited", "\xce\xba\xe1\xbd"} {
		all = append(all, bad(fmt.Sprintf("invalid %d whole", i), vera.CloseText, text("good "+s)))
		parts := [][]byte{masked(false, gobwas.OpText, "good ")}
		for i := range len(s) {
			parts = append(parts, masked(false, gobwas.OpContinuation, s[i:i+1]))
		}
		all = append(all, bad(fmt.Sprintf("invalid %d byte by byte", i), vera.CloseText, append(parts, masked(true, gobwas.OpContinuation, ""))...))
	}
	return all
}

func closings() (all []script) {
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		how := vera.EndedLost
		if code == 1000 {
			how = vera.EndedClean
		}
		for _, reason := range []string{"", "good bye", strings.Repeat("r", 123)} {
			all = append(all, closing(fmt.Sprintf("close %d with a reason of %d bytes", code, len(reason)), vera.CloseCode(code), how, closeFrame(code, reason)))
		}
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		all = append(all, bad(fmt.Sprintf("close %d", code), vera.CloseProtocol, closeFrame(code, "")))
	}
	for i, reason := range []string{"\xff", "\xc3", "fine until \xed\xa0\x80"} {
		all = append(all, bad(fmt.Sprintf("close with a reason that is no text %d", i), vera.CloseText, closeFrame(1000, reason)))
	}
	return append(all,
		closing("close without a code", vera.CloseEmpty, vera.EndedClean, masked(true, gobwas.OpClose, "")),
		bad("close with half a code", vera.CloseProtocol, masked(true, gobwas.OpClose, "\x03")),
		closing("text behind close", vera.CloseDone, vera.EndedClean, closeFrame(1000, ""), text("ignored")),
		closing("rubbish behind close", vera.CloseDone, vera.EndedClean, closeFrame(1000, ""), []byte("\xff\xff\xff rubbish")),
		closing("close twice", vera.CloseDone, vera.EndedClean, closeFrame(1000, ""), closeFrame(1001, "")),
		closing("ping behind close", vera.CloseDone, vera.EndedClean, closeFrame(1000, ""), ping("ignored")))
}

// closing is a script in which the client closes.
func closing(name string, code vera.CloseCode, how vera.Ending, frames ...[]byte) script {
	return script{name: name, send: slices.Concat(frames...), code: code, how: how}
}

// limits are about the limit of 100,000 bytes that the tests set.
func limits() []script {
	half, long := strings.Repeat("h", 50_000), strings.Repeat("l", 100_001)
	return []script{
		bad("one byte over in a frame", vera.CloseTooLarge, text(long)),
		bad("one byte over in two frames", vera.CloseTooLarge, masked(false, gobwas.OpText, half), masked(false, gobwas.OpContinuation, half), masked(true, gobwas.OpContinuation, "!")),
		good("exactly the limit in two frames", []string{half + half}, masked(false, gobwas.OpText, half), masked(true, gobwas.OpContinuation, half)),
		bad("2^62 bytes declared", vera.CloseTooLarge, []byte("\x81\xff\x40\x00\x00\x00\x00\x00\x00\x00")),
		bad("2^31 bytes declared", vera.CloseTooLarge, []byte("\x81\xff\x00\x00\x00\x00\x80\x00\x00\x00")),
		bad("over the limit in a continuation", vera.CloseTooLarge, masked(false, gobwas.OpText, half), []byte("\x00\xfe\xc3\x51")),
		good("a long message after many short ones", append(slices.Repeat([]string{"s"}, 50), half), slices.Repeat(text("s"), 50), text(half)),
	}
}
