package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer is how much of a replica's answer is read, in bytes.
const maxAnswer = 64 << 10

// orderRequest is the body of POST /request, its fields in the order of the
// proof of concept.
type orderRequest struct {
	ID        [2]uint64 `json:"id"`
	ClientURL string    `json:"client_url"`
	Timestamp float64   `json:"timestamp"`
	Data      string    `json:"data"`
}

// order sends a message to one replica, with the time of this try. Errors are
// coded where the replica says that no retry helps.
func (m *messenger) order(ctx context.Context, replica int, number uint64, data string) error {
	return m.post(ctx, replica, "/request", orderRequest{
		ID: [2]uint64{m.id, number}, ClientURL: m.url,
		Timestamp: float64(time.Now().UnixMicro()) / 1e6, Data: data,
	})
}

// complain asks every replica for a view change.
func (m *messenger) complain(ctx context.Context) {
	for i := range m.c.addrs {
		if ctx.Err() != nil {
			return
		}
		err := m.post(ctx, i, "/view_change_request", map[string]string{"action": "view change"})
		if err != nil {
			m.logf("view change request to replica %d sent fail: %v", i, err)
			continue
		}
		m.logf("view change request to replica %d sent successfully", i)
	}
}

func (m *messenger) post(ctx context.Context, replica int, path string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+m.c.addrs[replica]+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := m.http.Do(r)
	if err != nil {
		if inner := (*url.Error)(nil); errors.As(err, &inner) {
			err = inner.Err // its text repeats method and URL
		}
		return fmt.Errorf("replica %d at %s: %w", replica, m.c.addrs[replica], err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if answer.StatusCode/100 == 2 {
		return nil
	}
	if err != nil {
		text = nil
	}
	return httpError(replica, m.c.addrs[replica], answer.Status, answer.StatusCode, text)
}

// httpError tells a replica's refusal, and whether it is for good.
func httpError(replica int, addr, status string, code int, body []byte) error {
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &said) != nil || said.Message == "" {
		said.Message = strings.TrimSpace(string(body))
	}
	err := fmt.Errorf("replica %d at %s answered %s: %s", replica, addr, status, printable(said.Message))
	switch code {
	case http.StatusConflict:
		return coded{err, exitReused}
	case http.StatusGone:
		return coded{err, exitExpired}
	case http.StatusBadRequest, http.StatusForbidden, http.StatusRequestEntityTooLarge:
		return coded{err, exitRefused}
	}
	return err
}
