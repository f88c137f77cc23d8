package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestNextNumberIsVouchedForByACorrectReplica(t *testing.T) {
	for _, tt := range []struct {
		answers []uint64
		f       int
		want    uint64
	}{
		{[]uint64{0, 0, 0}, 1, 0},
		{[]uint64{5, 5, 5, 5}, 1, 5},
		{[]uint64{5, 1 << 60, 5}, 1, 5}, // a liar cannot push it up
		{[]uint64{0, 5, 5}, 1, 5},       // nor down
		{[]uint64{4, 5, 3, 5}, 1, 5},    // some lag
		{[]uint64{7, 9, 8, 1, 2}, 2, 7}, // the third highest
		{[]uint64{3}, 0, 3},             // one replica
		{[]uint64{9, 9, 2, 2, 2}, 2, 2}, // two liars of seven
		{[]uint64{1, 2, 3, 4, 5}, 1, 4}, // n = 5 or 6
		{[]uint64{0, 0, 1 << 52}, 1, 0}, // first run
		{[]uint64{10, 10, 0, 0}, 1, 10}, // two saw it
		{[]uint64{10, 0, 0, 0}, 1, 0},   // nobody else did
		{[]uint64{11, 10, 10, 10}, 1, 10},
	} {
		if got := nextNumber(tt.answers, tt.f); got != tt.want {
			t.Errorf("%v with f=%d gives %d, want %d", tt.answers, tt.f, got, tt.want)
		}
	}
}

// replyBody is a reply of a replica to number 3 of client 0.
func replyBody(index int, more string) string {
	return fmt.Sprintf(`{"index": %d, "view": 0, "proposal": {"id": [0, 3], "client_url": "http://x/reply", "timestamp": %d.5, "data": "3"}, "type": "reply"%s}`, index, index, more)
}

func TestRepliesCountOnceAlikeAndFromReplicasThatExist(t *testing.T) {
	for _, tt := range []struct {
		name    string
		replies []string
		agreed  bool
	}{
		{"two alike, of different tries", []string{replyBody(0, ""), replyBody(1, "")}, true},
		{"one twice", []string{replyBody(0, ""), replyBody(0, "")}, false},
		{"unknown fields", []string{replyBody(2, `, "new": [1]`), replyBody(3, `, "seq": 0`)}, true},
		{"a replica that does not exist", []string{replyBody(0, ""), replyBody(4, ""), replyBody(-1, "")}, false},
		{"another result", []string{replyBody(0, `, "result": "1"`), replyBody(1, `, "result": "2"`)}, false},
		{"another status", []string{replyBody(0, `, "status": "OK"`), replyBody(1, `, "status": "EXPIRED"`)}, false},
		{"two of three", []string{replyBody(0, `, "seq": 1`), replyBody(1, `, "seq": 2`), replyBody(2, `, "seq": 1`)}, true},
		{"the newest counts", []string{replyBody(0, `, "seq": 1`), replyBody(0, `, "seq": 2`), replyBody(1, `, "seq": 1`)}, false},
		{"another view", []string{replyBody(0, ""), strings.Replace(replyBody(1, ""), `"view": 0`, `"view": 1`, 1)}, false},
		{"another number", []string{replyBody(0, ""), strings.Replace(replyBody(1, ""), `[0, 3]`, `[0, 2]`, 1)}, false},
		{"another client", []string{replyBody(0, ""), strings.Replace(replyBody(1, ""), `[0, 3]`, `[1, 3]`, 1)}, false},
		{"other data", []string{replyBody(0, ""), strings.Replace(replyBody(1, ""), `"data": "3"`, `"data": "4"`, 1)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tally := newTally(4, 1, 0)
			agreed := tally.start(3, "3")
			for _, body := range tt.replies {
				r, err := parseReply([]byte(body))
				if err != nil {
					t.Fatal(err)
				}
				tally.add(r)
			}
			if got := len(agreed) == 1; got != tt.agreed {
				t.Errorf("agreed: %t", got)
			}
		})
	}
}

func TestLateRepliesAreNotCountedForTheNextMessage(t *testing.T) {
	tally := newTally(4, 1, 0)
	late, err := parseReply([]byte(replyBody(0, "")))
	if err != nil {
		t.Fatal(err)
	}
	tally.add(late) // before anything was asked
	first := tally.start(3, "3")
	for i := range 4 {
		*late.Index = i
		tally.add(late)
	}
	second := tally.start(4, "4")
	tally.add(late)
	if len(first) != 1 || len(second) != 0 {
		t.Errorf("%d words for the first message, %d for the second", len(first), len(second))
	}
}

func TestListenerAnswersGarbageAndStaysAlive(t *testing.T) {
	tally := newTally(4, 1, 0)
	agreed := tally.start(3, "3")
	s := httptest.NewServer(replyHandler(tally))
	defer s.Close()
	send := func(method, path, body string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode == http.StatusOK && answer.ContentLength != 0 {
			t.Errorf("%s: 200 with %d bytes, want none", body, answer.ContentLength)
		}
		return answer.StatusCode
	}
	for _, tt := range []struct {
		method, path, body string
		code               int
	}{
		{"GET", "/reply", "", 405},
		{"POST", "/", "{}", 404},
		{"POST", "/reply", "", 400},
		{"POST", "/reply", "null", 400},
		{"POST", "/reply", "[1,2,3]", 400},
		{"POST", "/reply", `"reply"`, 400},
		{"POST", "/reply", "{", 400},
		{"POST", "/reply", strings.Repeat(`{"proposal":`, 20000), 400},
		{"POST", "/reply", strings.Repeat("[", 20000), 400},
		{"POST", "/reply", replyBody(0, "") + "x", 400},
		{"POST", "/reply", strings.Replace(replyBody(0, ""), `"index": 0`, `"index": "0"`, 1), 400},
		{"POST", "/reply", strings.Replace(replyBody(0, ""), `"index": 0`, `"index": 1e99`, 1), 400},
		{"POST", "/reply", strings.Replace(replyBody(0, ""), `"index": 0, `, "", 1), 400},
		{"POST", "/reply", strings.Replace(replyBody(0, ""), `"view": 0, `, "", 1), 400},
		{"POST", "/reply", strings.Replace(replyBody(0, ""), `[0, 3]`, `[0, 3, 4]`, 1), 400},
		{"POST", "/reply", strings.Replace(replyBody(0, ""), `[0, 3]`, `[-1, -1]`, 1), 400},
		{"POST", "/reply", strings.Replace(replyBody(0, ""), `[0, 3]`, `["0", "3"]`, 1), 400},
		{"POST", "/reply", strings.Replace(replyBody(0, ""), `"data"`, `"date"`, 1), 400},
		{"POST", "/reply", strings.Repeat(" ", maxReplyBody+1), 413},
		{"POST", "/reply", replyBody(0, ""), 200},
		{"POST", "/reply", replyBody(99, ""), 200},
		{"POST", "/reply", replyBody(3, ""), 200},
		{"POST", "/reply", replyBody(2, ""), 200},
	} {
		if code := send(tt.method, tt.path, tt.body); code != tt.code {
			t.Errorf("%s %s %.80s: %d, want %d", tt.method, tt.path, tt.body, code, tt.code)
		}
	}
	if len(agreed) != 1 {
		t.Errorf("%d words agreed on, want 1", len(agreed))
	}
}
