package gateway

import (
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pbft-go/pbft/docs"
	"github.com/pbft-go/pbft/wire"
)

// Bounds of one HTTP connection. An answer may take as long as a caller may
// wait.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 30 * time.Second
	answerTimeout  = maxWait + requestTimeout
	idleTimeout    = 2 * time.Minute
	maxHeader      = 16 << 10
)

// route is what one path serves.
type route struct {
	method  string
	handler http.Handler
	legacy  bool     // JSON whatever Content-Type says (curl's default is a form); any query
	query   []string // parameters allowed, unless legacy
}

// clientsPath is the one path with more behind it.
const clientsPath = "/v1/clients/"

// httpHandler serves JSON. It checks what concerns HTTP and leaves the rest to
// the services.
type httpHandler struct {
	s       *Server
	routes  map[string]route
	clients route
}

func (s *Server) newHTTPHandler() (*httpHandler, error) {
	json, err := s.newJSONMux()
	if err != nil {
		return nil, err
	}
	plain := func(f http.HandlerFunc) route { return route{method: http.MethodGet, handler: f, legacy: true} }
	return &httpHandler{
		s: s,
		routes: map[string]route{
			"/request":             {method: http.MethodPost, handler: json, legacy: true},
			"/view_change_request": {method: http.MethodPost, handler: json, legacy: true},
			"/v1/submit":           {method: http.MethodPost, handler: json},
			"/v1/status":           {method: http.MethodGet, handler: json},
			"/v1/log":              {method: http.MethodGet, handler: json, query: []string{"from", "limit"}},
			"/v1/dump":             {method: http.MethodGet, handler: json, query: []string{"from", "limit_bytes"}},
			"/healthz":             plain(s.serveHealth),
			"/readyz":              plain(s.serveReady),
			"/metrics":             plain(s.serveMetrics),
			"/openapi.json":        plain(serveOpenAPI),
		},
		clients: route{method: http.MethodGet, handler: json, query: []string{"session"}},
	}, nil
}

// ServeHTTP finds the path's route and checks the request against it.
func (h *httpHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	rt, ok := h.routes[r.URL.Path]
	if !ok && strings.HasPrefix(r.URL.Path, clientsPath) {
		rt, ok = h.clients, true
	}
	if !ok {
		refuse(w, http.StatusNotFound, codes.NotFound, notFound(r))
		return
	}
	switch {
	case r.Method == rt.method:
	case r.Method == http.MethodHead && rt.method == http.MethodGet:
		r = asGet(r) // net/http leaves the body out
	default:
		wrongMethod(w, r, rt.method)
		return
	}
	if err := rt.checkQuery(r.URL); err != nil {
		writeError(w, http.StatusBadRequest, status.Convert(err))
		return
	}
	if r.Method == http.MethodPost {
		h.servePost(rt, w, r)
		return
	}
	rt.serve(w, r)
}

// serve calls the handler. The generated code logs every Content-Type that it
// cannot read and every answer that it cannot send, for which callers must not
// fill the log: it is shown the only type that is ever meant, and no failure.
func (rt *route) serve(w http.ResponseWriter, r *http.Request) {
	r.Header.Set("Content-Type", "application/json")
	rt.handler.ServeHTTP(quiet{w}, r)
}

// quiet hides that a client went away.
type quiet struct{ http.ResponseWriter }

// Write implements io.Writer.
func (q quiet) Write(b []byte) (int, error) {
	_, _ = q.ResponseWriter.Write(b)
	return len(b), nil
}

// servePost checks who asks and reads the body.
func (h *httpHandler) servePost(rt route, w http.ResponseWriter, r *http.Request) {
	if err := crossSite(r); err != nil {
		h.s.crossSite.Add(1)
		refuse(w, http.StatusForbidden, codes.PermissionDenied, err.Error())
		return
	}
	if ct := r.Header.Get("Content-Type"); !rt.legacy && !isJSON(ct) {
		refuse(w, http.StatusUnsupportedMediaType, codes.InvalidArgument, fmt.Sprintf("Content-Type is %q, allowed are application/json and none", ct))
		return
	}
	b, ok := h.s.readBody(w, r)
	if !ok {
		return
	}
	defer b.release()
	r.Body = &wire.Body{ReadCloser: b}
	rt.serve(w, r)
}

// checkQuery refuses what the generated code would ignore: parameters that are
// no fields, or that are given twice.
func (rt *route) checkQuery(u *url.URL) error {
	if rt.legacy || u.RawQuery == "" {
		return nil
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return status.Errorf(codes.InvalidArgument, "query: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(rt.query, name) {
			return invalid(name, "unknown parameter, allowed are %q", rt.query)
		}
		if n := len(values[name]); n > 1 {
			return invalid(name, "given %d times, allowed is once", n)
		}
	}
	return nil
}

func notFound(r *http.Request) string {
	return fmt.Sprintf("nothing at %q; GET /openapi.json lists the paths", clip(r.URL.Path, maxErrorText))
}

func wrongMethod(w http.ResponseWriter, r *http.Request, method string) {
	allowed := method + ", " + http.MethodOptions
	if method == http.MethodGet {
		allowed = method + ", " + http.MethodHead + ", " + http.MethodOptions
	}
	w.Header().Set("Allow", allowed)
	if r.Method == http.MethodOptions {
		// No CORS headers: pages of other sites may not call this service.
		w.WriteHeader(http.StatusNoContent)
		return
	}
	refuse(w, http.StatusMethodNotAllowed, codes.Unimplemented, fmt.Sprintf("method %q at %s, allowed is %s", clip(r.Method, 64), r.URL.Path, allowed))
}

// asGet is r as a GET, for handlers that know nothing of HEAD.
func asGet(r *http.Request) *http.Request {
	r = r.WithContext(r.Context()) // a copy: net/http looks at the original
	r.Method = http.MethodGet
	return r
}

// crossSite refuses what a browser sends on behalf of another site's page: it
// must not order operations for its visitor. Browsers name the page's origin
// in every POST to another site; programs send neither header.
func crossSite(r *http.Request) error {
	if site := r.Header.Get("Sec-Fetch-Site"); strings.EqualFold(site, "cross-site") {
		return fmt.Errorf("header Sec-Fetch-Site is %q: requests from pages of other sites are not allowed", site)
	}
	for _, origin := range r.Header.Values("Origin") {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
			return fmt.Errorf("header Origin is %q, allowed is none, or the host that is asked, %q: requests from pages of other sites are not allowed", origin, r.Host)
		}
	}
	return nil
}

func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	mt, _, err := mime.ParseMediaType(contentType)
	return err == nil && mt == "application/json"
}

// serveHealth says that the process lives.
func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, struct {
		Status  string `json:"status"`
		Index   int    `json:"index"`
		Version string `json:"version,omitempty"`
	}{"alive", s.index, s.version})
}

// serveReady says whether the replica orders requests now.
func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	if err := s.backend.Ready(); err != nil {
		writeError(w, http.StatusServiceUnavailable, status.Convert(errNotReady(err)))
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Status string `json:"status"`
		View   uint64 `json:"view"`
	}{"ready", s.backend.Info().View})
}

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	writeBody(w, http.StatusOK, docs.OpenAPI())
}
