package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxNesting bounds objects within objects. The messages of this project nest
// two deep.
const maxNesting = 16

// jsonReader reads one JSON object into a message. The message's descriptor
// leads: the first token that does not fit ends the reading, so that nothing
// is ever read deeper than the descriptor goes.
type jsonReader struct {
	src []byte
	dec *json.Decoder
}

func newJSONReader(src []byte) *jsonReader {
	r := &jsonReader{src: src, dec: json.NewDecoder(bytes.NewReader(src))}
	r.dec.UseNumber() // keeps a number as it is spelled
	return r
}

// read reads the whole body.
func (r *jsonReader) read(m protoreflect.Message) error {
	if len(bytes.TrimSpace(r.src)) == 0 {
		return refuse("", "empty, need a JSON object")
	}
	t, err := r.token("")
	if err != nil {
		return err
	}
	if err := r.message("", t, m, 1); err != nil {
		return err
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		return refuse("", "more follows behind the object, which must be all")
	}
	return nil
}

func refuse(path, format string, args ...any) error {
	return &FieldError{Field: path, Description: fmt.Sprintf(format, args...)}
}

// token reads the next token, of the field at path.
func (r *jsonReader) token(path string) (json.Token, error) {
	start := r.dec.InputOffset()
	t, err := r.dec.Token()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, refuse(path, "the JSON ends early, after %d bytes", len(r.src))
	case err != nil:
		return nil, refuse(path, "malformed JSON behind byte %d", start)
	}
	if _, ok := t.(string); ok {
		// The decoder would put U+FFFD in place of what is no Unicode.
		if raw := r.src[start:r.dec.InputOffset()]; !utf8.Valid(raw) {
			return nil, refuse(path, "invalid UTF-8")
		} else if loneSurrogate(raw) {
			return nil, refuse(path, "a \\u escape is half of a surrogate pair")
		}
	}
	return t, nil
}

// loneSurrogate reports whether a well-formed JSON string has a \u escape that
// is half of a surrogate pair.
func loneSurrogate(raw []byte) bool {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return false
		}
		raw = raw[i:]
		first := escaped(raw)
		switch {
		case !utf16.IsSurrogate(first):
			raw = raw[2:] // the four digits are no backslashes
		case utf16.DecodeRune(first, escaped(raw[6:])) == utf8.RuneError:
			return true
		default:
			raw = raw[12:]
		}
	}
}

// escaped is the code unit of a \u escape at the start of raw, 0 if there is
// none.
func escaped(raw []byte) rune {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0
	}
	u, err := strconv.ParseUint(string(raw[2:6]), 16, 16)
	if err != nil {
		return 0
	}
	return rune(u)
}

// message reads the object that t begins into m.
func (r *jsonReader) message(path string, t json.Token, m protoreflect.Message, depth int) error {
	if t != json.Delim('{') {
		return refuse(path, "%s, need an object", describe(t))
	}
	if depth > maxNesting {
		return refuse(path, "nested %d deep, allowed are %d", depth, maxNesting)
	}
	seen := make(map[protoreflect.FieldNumber]bool)
	for {
		t, err := r.token(path)
		if err != nil {
			return err
		}
		if t == json.Delim('}') {
			return nil
		}
		name := t.(string) // the decoder lets nothing else be a key
		fd := m.Descriptor().Fields().ByName(protoreflect.Name(name))
		at := join(path, clip(name))
		if fd == nil {
			return refuse(at, "unknown field, allowed are %s", names(m.Descriptor()))
		}
		if seen[fd.Number()] {
			return refuse(at, "given twice")
		}
		seen[fd.Number()] = true
		if err := alone(at, fd, m); err != nil {
			return err
		}
		if err := r.field(at, fd, m, depth); err != nil {
			return err
		}
	}
}

// alone refuses a second member of a oneof.
func alone(path string, fd protoreflect.FieldDescriptor, m protoreflect.Message) error {
	one := fd.ContainingOneof()
	if one == nil {
		return nil
	}
	if other := m.WhichOneof(one); other != nil {
		return refuse(path, "not allowed beside %s", other.Name())
	}
	return nil
}

// field reads the value of fd into m.
func (r *jsonReader) field(path string, fd protoreflect.FieldDescriptor, m protoreflect.Message, depth int) error {
	t, err := r.token(path)
	if err != nil {
		return err
	}
	if !fd.IsList() {
		v, err := r.value(path, t, fd, m.NewField(fd), depth)
		if err == nil {
			m.Set(fd, v)
		}
		return err
	}
	if t != json.Delim('[') {
		return refuse(path, "%s, need a list", describe(t))
	}
	list := m.Mutable(fd).List()
	for {
		at := fmt.Sprintf("%s[%d]", path, list.Len())
		t, err := r.token(at)
		if err != nil {
			return err
		}
		if t == json.Delim(']') {
			return nil
		}
		v, err := r.value(at, t, fd, list.NewElement(), depth)
		if err != nil {
			return err
		}
		list.Append(v)
	}
}

// value is what t, and for an object what follows, says for one value of fd.
// Blank is a new value of its type.
func (r *jsonReader) value(path string, t json.Token, fd protoreflect.FieldDescriptor, blank protoreflect.Value, depth int) (protoreflect.Value, error) {
	if fd.Message() != nil {
		return blank, r.message(path, t, blank.Message(), depth+1)
	}
	v, wrong := scalar(t, fd)
	if wrong != "" {
		return v, refuse(path, "%s", wrong)
	}
	return v, nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// names lists the fields of a message.
func names(md protoreflect.MessageDescriptor) string {
	fds := md.Fields()
	list := make([]string, fds.Len())
	for i := range list {
		list[i] = string(fds.Get(i).Name())
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// describe names a token in an error.
func describe(t json.Token) string {
	switch t := t.(type) {
	case nil:
		return "null"
	case bool:
		return fmt.Sprint(t)
	case json.Number:
		return "number " + clip(t.String())
	case string:
		return "string " + clip(fmt.Sprintf("%q", t))
	case json.Delim:
		if t == '[' {
			return "a list"
		}
		return "an object"
	}
	return "a value"
}

// clip shortens what an error repeats of the input.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
