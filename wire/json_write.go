package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// appendMessage appends m as a JSON object, its fields in the order of the
// proto file.
func appendMessage(b []byte, m protoreflect.Message) ([]byte, error) {
	b = append(b, '{')
	fds := m.Descriptor().Fields()
	for i, first := 0, true; i < fds.Len(); i++ {
		fd := fds.Get(i)
		if fd.HasPresence() && !m.Has(fd) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, '"')
		b = append(b, fd.Name()...)
		b = append(b, '"', ':')
		var err error
		if fd.IsList() {
			b, err = appendList(b, fd, m.Get(fd).List())
		} else {
			b, err = appendValue(b, fd, m.Get(fd))
		}
		if err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

func appendList(b []byte, fd protoreflect.FieldDescriptor, list protoreflect.List) ([]byte, error) {
	b = append(b, '[')
	for i := range list.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendValue(b, fd, list.Get(i)); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendValue(b []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) ([]byte, error) {
	switch x := v.Interface().(type) {
	case bool:
		return strconv.AppendBool(b, x), nil
	case int32, int64:
		return strconv.AppendInt(b, v.Int(), 10), nil
	case uint32, uint64:
		return strconv.AppendUint(b, v.Uint(), 10), nil
	case float32:
		return appendFloat(b, fd, float64(x), 32)
	case float64:
		return appendFloat(b, fd, x, 64)
	case string:
		return appendText(b, fd, x)
	case []byte:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, x)
		return append(b, '"'), nil
	case protoreflect.EnumNumber:
		if d := fd.Enum().Values().ByNumber(x); d != nil {
			return strconv.AppendQuote(b, string(d.Name())), nil
		}
		return strconv.AppendInt(b, int64(x), 10), nil
	default:
		return appendMessage(b, v.Message())
	}
}

// appendFloat prints plain digits where JavaScript would print them too, so
// that a timestamp looks like one.
func appendFloat(b []byte, fd protoreflect.FieldDescriptor, f float64, bits int) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("json: %s is %v, which JSON cannot say", fd.FullName(), f)
	}
	if a := math.Abs(f); a == 0 || a >= 1e-6 && a < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, bits), nil
	}
	return strconv.AppendFloat(b, f, 'e', -1, bits), nil
}

func appendText(b []byte, fd protoreflect.FieldDescriptor, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("json: %s is no valid UTF-8", fd.FullName())
	}
	var quoted bytes.Buffer
	enc := json.NewEncoder(&quoted)
	enc.SetEscapeHTML(false) // results are read in terminals
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("json: %s: %w", fd.FullName(), err)
	}
	return append(b, bytes.TrimSuffix(quoted.Bytes(), []byte{'\n'})...), nil
}
