// Package quickjson decodes JSON into Go values as encoding/json does, for programs that decode one document in
// their life. encoding/json first builds tables for every type that can be reached from the value, also those
// the document doesn't mention; for an OCI specification that took more time (1 ms) than all of the
// container's mounts. Here a type is looked at when the document has a value of it.
//
// The result is that of encoding/json, which the tests compare it with. Types that decode themselves
// (json.Unmarshaler, encoding.TextUnmarshaler) and interfaces are left to encoding/json.
package quickjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth is how deep values may be nested, as in encoding/json.
const maxDepth = 10000

// Unmarshal decodes the JSON document data into what v points to. On an error v may be partly filled.
func Unmarshal(data []byte, v any) error {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() {
		return errors.New("quickjson: the target is no pointer")
	}
	d := &decoder{data: data}
	if err := d.value(rv.Elem()); err != nil {
		return err
	}
	d.space()
	if d.pos < len(d.data) {
		return d.syntax("the end")
	}
	return nil
}

type decoder struct {
	data  []byte
	pos   int
	depth int
	types map[reflect.Type][]field
}

// field is a struct's field by its JSON name; index is its path through embedded structs.
type field struct {
	name  string
	index []int
}

func (d *decoder) syntax(wanted string) error {
	line := 1 + strings.Count(string(d.data[:min(d.pos, len(d.data))]), "\n")
	if d.pos >= len(d.data) {
		return fmt.Errorf("line %d: the text ends where %s is expected", line, wanted)
	}
	return fmt.Errorf("line %d: %q where %s is expected", line, d.data[d.pos], wanted)
}

func (d *decoder) mismatch(what string, t reflect.Type) error {
	line := 1 + strings.Count(string(d.data[:d.pos]), "\n")
	return fmt.Errorf("line %d: %s can't be a value of Go type %s", line, what, t)
}

// space skips white space and tells the next byte, 0 at the end.
func (d *decoder) space() byte {
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; c {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return c
		}
	}
	return 0
}

var (
	rawType       = reflect.TypeFor[json.RawMessage]()
	unmarshaler   = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshal = reflect.TypeFor[interface{ UnmarshalText([]byte) error }]()
)

// value decodes one value into v.
func (d *decoder) value(v reflect.Value) error {
	if v.Type() == rawType {
		start := d.start()
		if err := d.skip(); err != nil {
			return err
		}
		v.SetBytes(append([]byte(nil), d.data[start:d.pos]...))
		return nil
	}
	if d.selfDecoding(v) {
		start := d.start()
		if err := d.skip(); err != nil {
			return err
		}
		return json.Unmarshal(d.data[start:d.pos], v.Addr().Interface())
	}
	switch c := d.space(); {
	case c == 'n':
		if err := d.word("null"); err != nil {
			return err
		}
		switch v.Kind() {
		case reflect.Pointer, reflect.Map, reflect.Slice:
			v.SetZero()
		}
		return nil
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return d.value(v.Elem())
	case c == '{':
		return d.nested(v, d.object)
	case c == '[':
		return d.nested(v, d.array)
	case c == '"':
		return d.text(v)
	case c == 't' || c == 'f':
		return d.boolean(v, c == 't')
	case c == '-' || c >= '0' && c <= '9':
		return d.number(v)
	}
	return d.syntax("a value")
}

// selfDecoding says whether encoding/json has to decode the value.
func (d *decoder) selfDecoding(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Interface:
		return true
	case reflect.Pointer:
		return false // decided for what it points to
	}
	if v.Type().PkgPath() == "" {
		return false // a predeclared or composite type has no methods
	}
	p := reflect.PointerTo(v.Type())
	return p.NumMethod() > 0 && (p.Implements(unmarshaler) || p.Implements(textUnmarshal))
}

func (d *decoder) start() int {
	d.space()
	return d.pos
}

func (d *decoder) nested(v reflect.Value, decode func(reflect.Value) error) error {
	d.depth++
	defer func() { d.depth-- }()
	if d.depth > maxDepth {
		return errors.New("the values are nested too deep")
	}
	return decode(v)
}

func (d *decoder) word(w string) error {
	if len(d.data)-d.pos < len(w) || string(d.data[d.pos:d.pos+len(w)]) != w {
		return d.syntax(w)
	}
	d.pos += len(w)
	return nil
}

func (d *decoder) boolean(v reflect.Value, b bool) error {
	if err := d.word(strconv.FormatBool(b)); err != nil {
		return err
	}
	if v.Kind() != reflect.Bool {
		return d.mismatch("true or false", v.Type())
	}
	v.SetBool(b)
	return nil
}

func (d *decoder) text(v reflect.Value) error {
	s, err := d.str()
	if err != nil {
		return err
	}
	if v.Kind() != reflect.String {
		return d.mismatch("a string", v.Type())
	}
	v.SetString(s)
	return nil
}

// object decodes into a struct or a map with string keys.
func (d *decoder) object(v reflect.Value) error {
	var fields []field
	switch v.Kind() {
	case reflect.Struct:
		fields = d.fieldsOf(v.Type())
	case reflect.Map:
		if v.Type().Key().Kind() != reflect.String {
			return d.mismatch("an object", v.Type())
		}
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
	default:
		return d.mismatch("an object", v.Type())
	}
	return d.members(func(key string) error {
		if v.Kind() == reflect.Map {
			e := reflect.New(v.Type().Elem()).Elem()
			if err := d.value(e); err != nil {
				return err
			}
			v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), e)
			return nil
		}
		if f := find(fields, key); f != nil {
			return d.value(v.FieldByIndex(f.index))
		}
		return d.skip()
	})
}

// members goes through an object; member is called in front of each value.
func (d *decoder) members(member func(key string) error) error {
	d.pos++
	if d.space() == '}' {
		d.pos++
		return nil
	}
	for {
		if d.space() != '"' {
			return d.syntax("a string")
		}
		key, err := d.str()
		if err != nil {
			return err
		}
		if d.space() != ':' {
			return d.syntax("a colon")
		}
		d.pos++
		if err := member(key); err != nil {
			return err
		}
		switch d.space() {
		case ',':
			d.pos++
		case '}':
			d.pos++
			return nil
		default:
			return d.syntax("a comma or }")
		}
	}
}

// find prefers the exact name over one that differs in case, as encoding/json does.
func find(fields []field, key string) *field {
	for i := range fields {
		if fields[i].name == key {
			return &fields[i]
		}
	}
	for i := range fields {
		if strings.EqualFold(fields[i].name, key) {
			return &fields[i]
		}
	}
	return nil
}

// array decodes into a slice. Elements that are there already (a key that comes twice) are decoded over, as in
// encoding/json.
func (d *decoder) array(v reflect.Value) error {
	if v.Kind() != reflect.Slice {
		return d.mismatch("an array", v.Type())
	}
	n := 0
	err := d.elements(func() error {
		if n >= v.Cap() {
			v.Grow(1)
		}
		if n >= v.Len() {
			v.SetLen(n + 1)
		}
		n++
		return d.value(v.Index(n - 1))
	})
	if n == 0 {
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	}
	v.SetLen(n)
	return err
}

func (d *decoder) elements(element func() error) error {
	d.pos++
	if d.space() == ']' {
		d.pos++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		switch d.space() {
		case ',':
			d.pos++
		case ']':
			d.pos++
			return nil
		default:
			return d.syntax("a comma or ]")
		}
	}
}

// number decodes a number. For whole numbers only digits will do: 1.0 and 1e3 are refused, as in encoding/json.
func (d *decoder) number(v reflect.Value) error {
	start := d.pos
	if err := d.skipNumber(); err != nil {
		return err
	}
	s := string(d.data[start:d.pos])
	switch {
	case v.CanInt():
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || v.OverflowInt(n) {
			return d.mismatch("the number "+s, v.Type())
		}
		v.SetInt(n)
	case v.CanUint():
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil || v.OverflowUint(n) {
			return d.mismatch("the number "+s, v.Type())
		}
		v.SetUint(n)
	case v.CanFloat():
		n, err := strconv.ParseFloat(s, v.Type().Bits())
		if err != nil {
			return d.mismatch("the number "+s, v.Type())
		}
		v.SetFloat(n)
	default:
		return d.mismatch("a number", v.Type())
	}
	return nil
}

// skip passes over one value, checking its syntax.
func (d *decoder) skip() error {
	switch c := d.space(); {
	case c == '{':
		return d.nested(reflect.Value{}, func(reflect.Value) error {
			return d.members(func(string) error { return d.skip() })
		})
	case c == '[':
		return d.nested(reflect.Value{}, func(reflect.Value) error { return d.elements(d.skip) })
	case c == '"':
		return d.skipString()
	case c == 't':
		return d.word("true")
	case c == 'f':
		return d.word("false")
	case c == 'n':
		return d.word("null")
	case c == '-' || c >= '0' && c <= '9':
		return d.skipNumber()
	}
	return d.syntax("a value")
}

// skipNumber passes over a number (RFC 8259, section 6).
func (d *decoder) skipNumber() error {
	if d.at() == '-' {
		d.pos++
	}
	switch c := d.at(); {
	case c == '0':
		d.pos++
	case c >= '1' && c <= '9':
		d.digits()
	default:
		return d.syntax("a digit")
	}
	if d.at() == '.' {
		d.pos++
		if !d.digits() {
			return d.syntax("a digit")
		}
	}
	if c := d.at(); c == 'e' || c == 'E' {
		d.pos++
		if c := d.at(); c == '+' || c == '-' {
			d.pos++
		}
		if !d.digits() {
			return d.syntax("a digit")
		}
	}
	return nil
}

func (d *decoder) at() byte {
	if d.pos < len(d.data) {
		return d.data[d.pos]
	}
	return 0
}

func (d *decoder) digits() bool {
	start := d.pos
	for c := d.at(); c >= '0' && c <= '9'; c = d.at() {
		d.pos++
	}
	return d.pos > start
}

// str decodes a string (RFC 8259, section 7).
func (d *decoder) str() (string, error) {
	start := d.pos + 1
	plain := true
	if err := d.scanString(&plain); err != nil {
		return "", err
	}
	body := d.data[start : d.pos-1]
	if plain && utf8.Valid(body) {
		return string(body), nil
	}
	return unescape(body), nil
}

func (d *decoder) skipString() error {
	var plain bool
	return d.scanString(&plain)
}

// scanString passes over a string; plain becomes false if it has an escape.
func (d *decoder) scanString(plain *bool) error {
	d.pos++
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; {
		case c == '"':
			d.pos++
			return nil
		case c < 0x20:
			return d.syntax("a printable character")
		case c == '\\':
			*plain = false
			d.pos++
			if err := d.scanEscape(); err != nil {
				return err
			}
		default:
			d.pos++
		}
	}
	return d.syntax("the end of a string")
}

func (d *decoder) scanEscape() error {
	switch d.at() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		d.pos++
		return nil
	case 'u':
		d.pos++
		for range 4 {
			if c := d.at(); (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return d.syntax("a hexadecimal digit")
			}
			d.pos++
		}
		return nil
	}
	return d.syntax("an escape")
}

// unescape resolves the escapes of a string that scanString has accepted. Bytes that are not UTF-8, and halves of
// surrogate pairs, become U+FFFD.
func unescape(b []byte) string {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		if b[0] != '\\' {
			r, n := utf8.DecodeRune(b)
			out = utf8.AppendRune(out, r)
			b = b[n:]
			continue
		}
		if b[1] != 'u' {
			out = append(out, plainEscape(b[1]))
			b = b[2:]
			continue
		}
		r := hex4(b[2:])
		b = b[6:]
		if utf16.IsSurrogate(r) {
			pair := rune(utf8.RuneError)
			if len(b) >= 6 && b[0] == '\\' && b[1] == 'u' {
				if pair = utf16.DecodeRune(r, hex4(b[2:])); pair != utf8.RuneError {
					b = b[6:]
				}
			}
			r = pair
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out)
}

func plainEscape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

func hex4(b []byte) rune {
	n, _ := strconv.ParseUint(string(b[:4]), 16, 32)
	return rune(n)
}

// fieldsOf lists a struct's fields by JSON name, its own before those of embedded structs, which they hide.
func (d *decoder) fieldsOf(t reflect.Type) []field {
	if f, ok := d.types[t]; ok {
		return f
	}
	list := appendFields(nil, t, nil)
	if d.types == nil {
		d.types = make(map[reflect.Type][]field)
	}
	d.types[t] = list
	return list
}

func appendFields(list []field, t reflect.Type, path []int) []field {
	var embedded []reflect.StructField
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Tag.Get("json") == "-":
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			embedded = append(embedded, f)
		case !f.IsExported():
		default:
			if name == "" {
				name = f.Name
			}
			list = append(list, field{name, append(append([]int(nil), path...), i)})
		}
	}
	for _, f := range embedded {
		for _, inner := range appendFields(nil, f.Type, append(append([]int(nil), path...), f.Index...)) {
			if !named(list, inner.name) {
				list = append(list, inner)
			}
		}
	}
	return list
}

func named(list []field, name string) bool {
	for i := range list {
		if list[i].name == name {
			return true
		}
	}
	return false
}
