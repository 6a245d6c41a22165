package client

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"vera"
)

func TestGetOverHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vera-Leader", "one")
		w.Header().Set("Vera-Last-Contact", "12")
		w.Header().Set("Vera-Index", "8")
		w.Header().Set("ETag", `"7"`)
		switch {
		case r.Header.Get("If-None-Match") == `"7"`:
			w.WriteHeader(http.StatusNotModified)
		case r.URL.EscapedPath() == "/data/a%20b/%25c":
			fmt.Fprintf(w, `{"index":8,"etag":"7","total":3,"items":[{"version":7,"data":{"asked":%q}}]}`, r.URL.RawQuery)
		default:
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"code":"InvalidParameter","message":"path: 32 segments at most"}`)
		}
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()

	r, err := Get(t.Context(), nil, server.URL, "/data/a b/%c", Limit(1), Consistent(), MinIndex(5), Wait(3*time.Second))
	if err != nil || r.Index != 8 || r.Total != 3 || r.Leader != "one" || r.LastContact != 12*time.Millisecond {
		t.Fatalf("%+v, %v", r, err)
	}
	var data struct {
		Asked string `json:"asked"`
	}
	if err := r.Items[0].Decode(&data); err != nil || data.Asked != "consistent=true&limit=1&minIndex=5&wait=3s" {
		t.Errorf("asked for %q, %v", data.Asked, err)
	}
	r, err = Get(t.Context(), nil, server.URL, "/data/a", IfNoneMatch("7"))
	if err != nil || !r.Unchanged || r.ETag != "7" || r.Index != 8 {
		t.Errorf("%+v, %v", r, err)
	}
	_, err = Get(t.Context(), nil, server.URL, "/data/x")
	if refused, is := errors.AsType[*vera.Error](err); !is || refused.Code != vera.InvalidParameter {
		t.Errorf("got %v", err)
	}
}
