package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

func TestOrderAnswersWithTheAgreedResult(t *testing.T) {
	p := start(t)
	a := p.curl(t, "/request", `{"id":[1,7],"data":"hello"}`)
	const want = `{"id":[1,7],"status":"OK","seq":1,"view":0,"result":"1:hello"}`
	if a.status != 200 || strings.TrimSpace(a.body) != want {
		t.Errorf("got %d %s, want 200 %s", a.status, a.body, want)
	}
	if ct := a.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type %q", ct)
	}
}

func TestOrderTakesJSONWhateverTheContentType(t *testing.T) {
	p := start(t)
	for i, ct := range []string{"", "application/json", "text/plain", "application/x-www-form-urlencoded", "nonsense;;"} {
		a := p.send(t, "POST", "/request", strings.NewReader(fmt.Sprintf(`{"id":[1,%d],"data":"x"}`, i)), "Content-Type", ct)
		if a.status != 200 {
			t.Errorf("Content-Type %q: %d %s", ct, a.status, a.body)
		}
	}
}

func TestResultThatIsNoTextComesInBase64(t *testing.T) {
	p := start(t)
	// The escape is valid in JSON, but the operation is cut in the result only.
	p.locked(func() { p.replies = cutResults })
	a := p.curl(t, "/request", `{"id":[1,1],"data":"é"}`)
	if got := a.field(t, "result_base64"); got != "MTrD" || a.field(t, "result") != nil {
		t.Errorf("got %s", a.body)
	}
}

func TestTwentyCallersAtOnceOutOfOrder(t *testing.T) {
	p := start(t)
	var wg sync.WaitGroup
	errs := make(chan error, 20)
	for i := range 20 {
		wg.Go(func() {
			n := (i * 7) % 20
			a, err := p.try("POST", "/request", strings.NewReader(fmt.Sprintf(`{"id":[5,%d],"data":"%d"}`, n, n)))
			if err == nil && (a.status != 200 || !strings.HasSuffix(strings.TrimSpace(a.body), fmt.Sprintf(`:%d"}`, n))) {
				err = fmt.Errorf("number %d: %d %s", n, a.status, a.body)
			}
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	p.locked(func() {
		if p.next != 20 {
			t.Errorf("%d batches ordered, want 20", p.next)
		}
	})
}

func TestSameRequestWithAnotherTimestampIsAnsweredAgain(t *testing.T) {
	p := start(t)
	first := p.curl(t, "/request", `{"id":[1,7],"timestamp":1,"data":"x"}`)
	again := p.curl(t, "/request", `{"id":[1,7],"timestamp":2.5,"data":"x"}`)
	if again.status != 200 || again.body != first.body {
		t.Errorf("first %s, again %d %s", first.body, again.status, again.body)
	}
}

func TestBadRequestsAreRefusedByNameAndTheServerLives(t *testing.T) {
	p := start(t)
	deep := strings.Repeat("[", 20000)
	for _, c := range []struct {
		name, body string
		status     int
		code       string
		want       []string // in the message
	}{
		{"empty", ``, 400, "INVALID_ARGUMENT", []string{"empty"}},
		{"blank", " \n", 400, "INVALID_ARGUMENT", []string{"empty"}},
		{"malformed", `{"id":[1,2],`, 400, "INVALID_ARGUMENT", []string{"JSON"}},
		{"truncated", `{"id":[1,2],"data":"x`, 400, "INVALID_ARGUMENT", []string{"JSON"}},
		{"README's old line", `{'id':(0,0)}`, 400, "INVALID_ARGUMENT", []string{"JSON"}},
		{"deep array", deep, 400, "INVALID_ARGUMENT", []string{"need an object"}},
		{"deep value", `{"id":` + deep, 400, "INVALID_ARGUMENT", []string{"id[0]"}},
		{"array", `[1,2,3]`, 400, "INVALID_ARGUMENT", []string{"need an object"}},
		{"string", `"x"`, 400, "INVALID_ARGUMENT", []string{"need an object"}},
		{"null", `null`, 400, "INVALID_ARGUMENT", []string{"null", "need an object"}},
		{"trailing", `{"id":[1,2],"data":"x"} {}`, 400, "INVALID_ARGUMENT", []string{"behind"}},
		{"no id", `{"data":"x"}`, 400, "INVALID_ARGUMENT", []string{"id", "two"}},
		{"no data", `{"id":[1,2]}`, 400, "INVALID_ARGUMENT", []string{"data", "missing"}},
		{"one number", `{"id":[1],"data":"x"}`, 400, "INVALID_ARGUMENT", []string{"id", "1 numbers", "two"}},
		{"three numbers", `{"id":[1,2,3],"data":"x"}`, 400, "INVALID_ARGUMENT", []string{"id", "3 numbers", "two"}},
		{"id no list", `{"id":7,"data":"x"}`, 400, "INVALID_ARGUMENT", []string{"id", "7", "list"}},
		{"negative", `{"id":[1,-2],"data":"x"}`, 400, "INVALID_ARGUMENT", []string{"id[1]", "-2"}},
		{"fraction", `{"id":[1,1.5],"data":"x"}`, 400, "INVALID_ARGUMENT", []string{"id[1]", "1.5"}},
		{"string id", `{"id":["1",2],"data":"x"}`, 400, "INVALID_ARGUMENT", []string{"id[0]", `"1"`}},
		{"null id", `{"id":[null,2],"data":"x"}`, 400, "INVALID_ARGUMENT", []string{"id[0]", "null"}},
		{"client 2^53", `{"id":[9007199254740992,2],"data":"x"}`, 400, "INVALID_ARGUMENT", []string{"id[0]", "9007199254740992", "9007199254740991"}},
		{"number 2^53", `{"id":[1,9007199254740992],"data":"x"}`, 400, "INVALID_ARGUMENT", []string{"id[1]", "9007199254740992", "9007199254740991"}},
		{"number 2^64", `{"id":[1,18446744073709551616],"data":"x"}`, 400, "INVALID_ARGUMENT", []string{"id[1]", "18446744073709551616"}},
		{"NaN", `{"id":[1,2],"timestamp":NaN,"data":"x"}`, 400, "INVALID_ARGUMENT", []string{"timestamp"}},
		{"NaN in quotes", `{"id":[1,2],"timestamp":"NaN","data":"x"}`, 400, "INVALID_ARGUMENT", []string{"timestamp", "NaN"}},
		{"infinite", `{"id":[1,2],"timestamp":1e999,"data":"x"}`, 400, "INVALID_ARGUMENT", []string{"timestamp", "1e999"}},
		{"NaN id", `{"id":[NaN,2],"data":"x"}`, 400, "INVALID_ARGUMENT", []string{"id[0]"}},
		{"unknown field", `{"id":[1,2],"data":"x","extra":1}`, 400, "INVALID_ARGUMENT", []string{"extra", "unknown", "client_url"}},
		{"camel case", `{"id":[1,2],"data":"x","clientUrl":"http://localhost/"}`, 400, "INVALID_ARGUMENT", []string{"clientUrl"}},
		{"duplicate", `{"id":[1,2],"data":"x","data":"y"}`, 400, "INVALID_ARGUMENT", []string{"data", "twice"}},
		{"number as data", `{"id":[1,2],"data":7}`, 400, "INVALID_ARGUMENT", []string{"data", "7", "string"}},
		{"object as data", `{"id":[1,2],"data":{}}`, 400, "INVALID_ARGUMENT", []string{"data", "object", "string"}},
		{"null data", `{"id":[1,2],"data":null}`, 400, "INVALID_ARGUMENT", []string{"data", "null", "string"}},
		{"no UTF-8", "{\"id\":[1,2],\"data\":\"\xff\"}", 400, "INVALID_ARGUMENT", []string{"data", "UTF-8"}},
		{"URL of a file", `{"id":[1,2],"client_url":"file:///etc/passwd","data":"x"}`, 400, "INVALID_ARGUMENT", []string{"client_url", `"file"`, "http and https"}},
		{"URL without scheme", `{"id":[1,2],"client_url":"localhost:1/reply","data":"x"}`, 400, "INVALID_ARGUMENT", []string{"client_url", "localhost:1/reply"}},
		{"relative URL", `{"id":[1,2],"client_url":"/reply","data":"x"}`, 400, "INVALID_ARGUMENT", []string{"client_url", "/reply"}},
		{"empty URL", `{"id":[1,2],"client_url":"","data":"x"}`, 400, "INVALID_ARGUMENT", []string{"client_url"}},
		{"URL without host", `{"id":[1,2],"client_url":"http:///reply","data":"x"}`, 400, "INVALID_ARGUMENT", []string{"client_url", "host"}},
		{"URL with user", `{"id":[1,2],"client_url":"http://u:secret@localhost/","data":"x"}`, 400, "INVALID_ARGUMENT", []string{"client_url", "user"}},
		{"broken URL", `{"id":[1,2],"client_url":"http://[::1/","data":"x"}`, 400, "INVALID_ARGUMENT", []string{"client_url"}},
		{"long URL", `{"id":[1,2],"client_url":"http://localhost/` + strings.Repeat("a", 2048) + `","data":"x"}`, 400, "INVALID_ARGUMENT", []string{"client_url", "2065 bytes", "2048"}},
		{"foreign host", `{"id":[1,2],"client_url":"http://169.254.169.254/latest","data":"x"}`, 403, "PERMISSION_DENIED", []string{"client_url", "169.254.169.254", "allow_reply_hosts"}},
		{"any address", `{"id":[1,2],"client_url":"http://0.0.0.0/","data":"x"}`, 403, "PERMISSION_DENIED", []string{"client_url", "0.0.0.0"}},
		{"name like loopback", `{"id":[1,2],"client_url":"http://localhost.evil.example/","data":"x"}`, 403, "PERMISSION_DENIED", []string{"localhost.evil.example"}},
		{"large operation", `{"id":[1,2],"data":"` + strings.Repeat("a", 1<<20) + `"}`, 400, "INVALID_ARGUMENT", []string{"data", "1048576 bytes", "1044480"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := p.curl(t, "/request", c.body)
			text := fmt.Sprint(a.field(t, "message"))
			if a.status != c.status || a.field(t, "code") != c.code {
				t.Errorf("got %d %s, want %d %s", a.status, a.body, c.status, c.code)
			}
			for _, w := range c.want {
				if !strings.Contains(text, w) {
					t.Errorf("message %q does not name %q", text, w)
				}
			}
			if ct := a.header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("Content-Type %q", ct)
			}
		})
	}
	if strings.Contains(p.curl(t, "/request", `{"id":[1,2],"client_url":"http://u:secret@localhost/","data":"x"}`).body, "secret") {
		t.Error("the error repeats a password")
	}
	if a := p.curl(t, "/request", `{"id":[1,2],"data":"x"}`); a.status != 200 {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
}

func TestErrorsCarryTheFieldAsDetail(t *testing.T) {
	p := start(t)
	for _, body := range []string{`{"id":[1,-1],"data":"x"}`, `{"id":[1,9007199254740992],"data":"x"}`} {
		a := p.curl(t, "/request", body)
		d := fmt.Sprint(a.field(t, "details"))
		if !strings.Contains(d, "google.rpc.BadRequest") || !strings.Contains(d, "field:id[1]") {
			t.Errorf("%s: details %s", body, d)
		}
	}
}

func TestBodiesOverTheLimitAreRefused(t *testing.T) {
	p := start(t)
	big := strings.Repeat("a", 2<<20+1)
	for name, body := range map[string]io.Reader{
		"with length": strings.NewReader(big),
		"chunked":     io.MultiReader(strings.NewReader(big)), // of unknown length
	} {
		// The server may hang up while the body is still being written.
		a, err := p.try("POST", "/request", body)
		var broken *net.OpError
		if errors.As(err, &broken) {
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if a.status != 413 || !strings.Contains(a.body, "2097152") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if a := p.curl(t, "/request", `{"id":[1,2],"data":"x"}`); a.status != 200 {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
	if n := p.server.bodies.Load(); n != 0 {
		t.Errorf("%d bytes of bodies are still counted", n)
	}
}

// A body over the limit that stops there shows the answer for certain.
func TestLargeBodyIsAnsweredBeforeItIsRead(t *testing.T) {
	p := start(t)
	for name, request := range map[string]string{
		"with length": "POST /request HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
		"chunked":     "POST /request HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n200001\r\n" + strings.Repeat("a", 2<<20+1) + "\r\n",
	} {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		resp.Body.Close()
		if resp.StatusCode != 413 {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
}

func TestBodiesInAllAreBounded(t *testing.T) {
	p := start(t)
	p.server.bodies.Store(maxBodies)
	a := p.curl(t, "/request", `{"id":[1,2],"data":"x"}`)
	if a.status != 429 || a.header.Get("Retry-After") != "1" {
		t.Errorf("got %d %v %s", a.status, a.header, a.body)
	}
	p.server.bodies.Store(0)
	if a := p.curl(t, "/request", `{"id":[1,2],"data":"x"}`); a.status != 200 {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
}

func TestMethodsAndPaths(t *testing.T) {
	p := start(t)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/request", 405, "POST, OPTIONS"},
		{"PUT", "/request", 405, "POST, OPTIONS"},
		{"HEAD", "/request", 405, "POST, OPTIONS"},
		{"DELETE", "/view_change_request", 405, "POST, OPTIONS"},
		{"OPTIONS", "/request", 204, "POST, OPTIONS"},
		{"OPTIONS", "/v1/status", 204, "GET, HEAD, OPTIONS"},
		{"POST", "/v1/status", 405, "GET, HEAD, OPTIONS"},
		{"POST", "/healthz", 405, "GET, HEAD, OPTIONS"},
		{"POST", "/v1/clients/a", 405, "GET, HEAD, OPTIONS"},
		{"BREW", "/v1/submit", 405, "POST, OPTIONS"},
		{"GET", "/", 404, ""},
		{"POST", "/request/", 404, ""},
		{"POST", "/reply", 404, ""},
		{"POST", "//request", 404, ""},
		{"GET", "/v1", 404, ""},
		{"GET", "/v1/clients/", 400, ""}, // an empty client id
		{"GET", "/v1/clients/a/b", 404, ""},
		{"GET", "/v1/clients/a%2Fb", 404, ""},
		{"GET", "/v1/clients/a/outcomes/1/x", 404, ""},
		{"POST", "/preprepare", 404, ""},
		{"HEAD", "/healthz", 200, ""},
		{"HEAD", "/v1/status", 200, ""},
	} {
		a := p.send(t, c.method, c.path, nil, "X-HTTP-Method-Override", "POST")
		if a.status != c.status || a.header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, Allow %q, want %d, %q; %s", c.method, c.path, a.status, a.header.Get("Allow"), c.status, c.allow, a.body)
		}
		if c.method == "HEAD" && a.body != "" {
			t.Errorf("HEAD %s has a body", c.path)
		}
		if c.status >= 400 && c.method != "HEAD" && a.field(t, "code") == nil {
			t.Errorf("%s %s: no JSON error: %s", c.method, c.path, a.body)
		}
	}
}

func TestPagesOfOtherSitesAreRefused(t *testing.T) {
	p := start(t)
	order := func(n int, header ...string) int {
		return p.curl(t, "/request", fmt.Sprintf(`{"id":[1,%d],"data":"x"}`, n), header...).status
	}
	for i, c := range []struct {
		want   int
		header []string
	}{
		{200, nil},
		{200, []string{"Origin", "http://" + p.addr}},
		{200, []string{"Origin", "http://" + p.addr, "Sec-Fetch-Site", "same-origin"}},
		{200, []string{"Sec-Fetch-Site", "none"}},
		{403, []string{"Origin", "http://evil.example"}},
		{403, []string{"Origin", "null"}},
		{403, []string{"Origin", "http://localhost:1"}},
		{403, []string{"Sec-Fetch-Site", "cross-site"}},
		{403, []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://evil.example"}},
	} {
		if got := order(i, c.header...); got != c.want {
			t.Errorf("%q: %d, want %d", c.header, got, c.want)
		}
	}
	for _, path := range []string{"/view_change_request", "/v1/submit"} {
		a := p.send(t, "POST", path, strings.NewReader(`{}`), "Origin", "http://evil.example")
		if a.status != 403 || !strings.Contains(a.body, "evil.example") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	p.locked(func() {
		if p.blamed != 0 {
			t.Error("a foreign page's complaint counted")
		}
	})
	if got := p.server.Counters()[0]; got.GetValue() != 7 {
		t.Errorf("counted %v", got)
	}
}

func TestViewChangeRequest(t *testing.T) {
	p := start(t)
	p.locked(func() { p.info.View = 3 })
	a := p.curl(t, "/view_change_request", `{"action": "view change"}`)
	if a.status != 200 || strings.TrimSpace(a.body) != `{"status":"ACCEPTED","view":3}` {
		t.Errorf("%d %s", a.status, a.body)
	}
	for body, want := range map[string]string{`{"action":"stop"}`: `"stop"`, `{"action":"` + strings.Repeat("x", 1<<20) + `"}`: "xxx…", `{}`: `""`, `{"action":7}`: "7", `{"act":"view change"}`: "act"} {
		a := p.curl(t, "/view_change_request", body)
		if len(a.body) > 4096 {
			t.Errorf("an error of %d bytes", len(a.body))
		}
		if m := fmt.Sprint(a.field(t, "message")); a.status != 400 || !strings.Contains(m, want) {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	p.locked(func() {
		if p.blamed != 1 {
			t.Errorf("%d complaints, want 1", p.blamed)
		}
	})
}

func TestUnaryCallsAsJSON(t *testing.T) {
	p := start(t)
	submit := `{"client":"a b:c","number":7,"op":"aGk="}`
	a := p.send(t, "POST", "/v1/submit", strings.NewReader(submit), "Content-Type", "application/json; charset=utf-8")
	if a.status != 200 || a.field(t, "result") != "MTpoaQ==" || a.field(t, "status") != "REPLY_STATUS_OK" {
		t.Fatalf("submit: %d %s", a.status, a.body)
	}
	a = p.send(t, "GET", "/v1/clients/a%20b:c", nil)
	if a.status != 200 || fmt.Sprint(a.field(t, "next")) != "8" || a.field(t, "client") != "a b:c" {
		t.Errorf("client info: %d %s", a.status, a.body)
	}
	a = p.send(t, "GET", "/v1/clients/a%20b:c/outcomes/7", nil)
	if a.status != 200 || a.field(t, "result") != "MTpoaQ==" {
		t.Errorf("outcome: %d %s", a.status, a.body)
	}
	a = p.send(t, "GET", "/v1/clients/a%20b:c/outcomes/8?session=5", nil)
	if a.status != 200 || a.field(t, "status") != "REPLY_STATUS_NOT_EXECUTED" {
		t.Errorf("outcome of nothing: %d %s", a.status, a.body)
	}
	a = p.send(t, "GET", "/v1/dump?from=3&limit_bytes=77", nil)
	if a.status != 200 || fmt.Sprint(a.field(t, "first")) != "3" || fmt.Sprint(a.field(t, "next")) != "77" {
		t.Errorf("dump: %d %s", a.status, a.body)
	}
	if a = p.send(t, "GET", "/v1/status", nil); a.status != 200 || fmt.Sprint(a.field(t, "index")) != "2" {
		t.Errorf("status: %d %s", a.status, a.body)
	}
	for path, want := range map[string]string{
		"/v1/log?limit=257":                       "257",
		"/v1/log?limit=-1":                        "-1",
		"/v1/log?from=x":                          "x",
		"/v1/log?from=1&from=2":                   "2 times",
		"/v1/dump?limit_bytes=4194305":            "4194304",
		"/v1/dump?limit=3":                        "limit",
		"/v1/status?x=%zz":                        "query",
		"/v1/clients/a/outcomes/x":                "x",
		"/v1/clients/a/outcomes/-1":               "-1",
		"/v1/clients/a?session=1&b=2":             "b",
		"/v1/clients/%ff":                         "UTF-8",
		"/v1/clients/" + strings.Repeat("a", 65):  "65 bytes",
		"/v1/clients/a/outcomes/9007199254740992": "9007199254740991",
	} {
		a := p.send(t, "GET", path, nil)
		if m := fmt.Sprint(a.field(t, "message")); a.status != 400 || !strings.Contains(m, want) {
			t.Errorf("%s: %d %s, want 400 naming %q", path, a.status, a.body, want)
		}
	}
	a = p.send(t, "POST", "/v1/submit", strings.NewReader(submit), "Content-Type", "application/x-www-form-urlencoded")
	if a.status != 415 || !strings.Contains(a.body, "x-www-form-urlencoded") {
		t.Errorf("form: %d %s", a.status, a.body)
	}
}

func TestLargeLogEntriesLeaveRoomForFewer(t *testing.T) {
	p := start(t)
	a := p.send(t, "GET", "/v1/log?limit=256", nil)
	if n := len(a.field(t, "entries").([]any)); a.status != 200 || n < 1 || n*64<<10 > maxLogBytes {
		t.Errorf("%d entries of 64 KiB", n)
	}
}

func TestHealthReadinessAndDocument(t *testing.T) {
	p := start(t)
	if a := p.send(t, "GET", "/healthz", nil); a.status != 200 || a.field(t, "status") != "alive" || a.field(t, "version") != "v0" {
		t.Errorf("healthz: %d %s", a.status, a.body)
	}
	if a := p.send(t, "GET", "/readyz?verbose", nil); a.status != 200 || a.field(t, "status") != "ready" {
		t.Errorf("readyz: %d %s", a.status, a.body)
	}
	p.locked(func() { p.ready = errors.New("2 of 4 replicas connected") })
	a := p.send(t, "GET", "/readyz", nil)
	if a.status != 503 || !strings.Contains(a.body, "2 of 4") || a.header.Get("Retry-After") == "" {
		t.Errorf("readyz: %d %s", a.status, a.body)
	}
	if a := p.send(t, "GET", "/healthz", nil); a.status != 200 {
		t.Errorf("healthz while not ready: %d", a.status)
	}
	if a := p.send(t, "GET", "/openapi.json", nil); a.status != 200 || a.field(t, "swagger") != "2.0" {
		t.Errorf("openapi: %d %.80s", a.status, a.body)
	}
}

func TestGarbageOnTheSocketHurtsNobody(t *testing.T) {
	p := start(t)
	for _, text := range []string{"\x16\x03\x01\x02\x00\x01", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage garbage", "GET", "POST /request HTTP/9.9\r\n\r\n"} {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(c, bytes.NewReader([]byte(text)))
		c.Close()
	}
	if a := p.curl(t, "/request", `{"id":[1,2],"data":"x"}`); a.status != 200 {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
}
