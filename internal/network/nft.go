package network

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// gourd's rules are in a table of its own, `inet gourd`, which all installations on a host share. A base
// chain looks the interface up in a map and jumps to the chain of that bridge, so what a packet costs
// doesn't grow with the number of networks:
//
//	prerouting   iifname → from-BRIDGE  drop what has another network's source or looks for 127.0.0.0/8
//	forward      oifname → to-BRIDGE    let replies, neighbours and published ports in, nothing else
//	postrouting  iifname → out-BRIDGE   masquerade what leaves for elsewhere
//
// Everything is set in one transaction that may be repeated: chains are flushed before they are filled.

// rule is one rule with the comment that tells it from others'.
type rule struct {
	comment string
	exprs   []expr.Any
}

// jump is a base chain, its map, and the chain of one bridge that the map leads to.
type jump struct {
	base  nftables.Chain
	by    expr.MetaKey // which interface is looked up
	of    string       // prefix of the bridges' chains, and the map's name
	rules []rule
}

func ownTable() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyINet, Name: "gourd"}
}

func (j *jump) chain(r *record) string { return j.of + "-" + r.Bridge }

// ruleset is what the table has for one network.
func ruleset(r *record) []*jump {
	return []*jump{
		{
			base: nftables.Chain{Name: "prerouting", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw},
			by:   expr.MetaKeyIIFNAME, of: "from",
			rules: []rule{
				{"IPv4 only", join(notIPv4(), verdict(expr.VerdictDrop))},
				{"no borrowed source address", join(address(source, r.Subnet, expr.CmpOpNeq), verdict(expr.VerdictDrop))},
				// Should someone turn route_localnet on, the host's loopback is still its own (CVE-2020-8558).
				{"no reach to the host's loopback", join(address(destination, loopback, expr.CmpOpEq), verdict(expr.VerdictDrop))},
			},
		},
		{
			base: nftables.Chain{Name: "forward", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter},
			by:   expr.MetaKeyOIFNAME, of: "to",
			rules: []rule{
				{"replies", join(ctState(), verdict(expr.VerdictAccept))},
				{"neighbours", join(iface(expr.MetaKeyIIFNAME, r.Bridge, expr.CmpOpEq, 16), verdict(expr.VerdictAccept))},
				{"published ports", join(ctBits(expr.CtKeySTATUS, ctStatusDNAT), verdict(expr.VerdictAccept))},
				{"nothing else", verdict(expr.VerdictDrop)},
			},
		},
		{
			base: nftables.Chain{Name: "postrouting", Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource},
			by:   expr.MetaKeyIIFNAME, of: "out",
			rules: []rule{
				{"masquerade", join(iface(expr.MetaKeyOIFNAME, r.Bridge, expr.CmpOpNeq, 16), address(source, r.Subnet, expr.CmpOpEq), []expr.Any{&expr.Masq{}})},
			},
		},
	}
}

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// setRules puts the network's rules in place: its own, and an accept in each of the host's chains that
// would drop. changed says that something was missing.
func setRules(r *record) (changed bool, err error) {
	c, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return false, err
	}
	defer c.CloseLasting()
	if !ownInPlace(c, r) {
		if err := addOwn(c, r); err != nil {
			return false, err
		}
		changed = true
	}
	opened, err := openForward(c, r)
	return changed || opened, err
}

// addOwn sets the network's part of the table in one transaction.
func addOwn(c *nftables.Conn, r *record) error {
	t := c.AddTable(ownTable())
	for _, j := range ruleset(r) {
		base := j.base
		base.Table = t
		c.AddChain(&base)
		own := c.AddChain(&nftables.Chain{Table: t, Name: j.chain(r)})
		c.FlushChain(own)
		for _, ru := range j.rules {
			c.AddRule(&nftables.Rule{Table: t, Chain: own, Exprs: ru.exprs, UserData: comment(ru.comment)})
		}
		m := j.verdictMap(t)
		if err := c.AddSet(m, []nftables.SetElement{j.element(r)}); err != nil {
			return err
		}
		c.FlushChain(&base)
		c.AddRule(&nftables.Rule{Table: t, Chain: &base, UserData: comment(baseComment), Exprs: []expr.Any{
			&expr.Meta{Key: j.by, Register: 1},
			&expr.Lookup{SourceRegister: 1, DestRegister: 0, IsDestRegSet: true, SetName: m.Name, SetID: m.ID},
		}})
	}
	return c.Flush()
}

const baseComment = "each bridge has its chain"

func (j *jump) verdictMap(t *nftables.Table) *nftables.Set {
	return &nftables.Set{Table: t, Name: j.of, IsMap: true, KeyType: nftables.TypeIFName, DataType: nftables.TypeVerdict, KeyByteOrder: binaryutil.NativeEndian}
}

func (j *jump) element(r *record) nftables.SetElement {
	return nftables.SetElement{Key: padded(r.Bridge, 16), VerdictData: &expr.Verdict{Kind: expr.VerdictJump, Chain: j.chain(r)}}
}

// ownInPlace says whether the table has everything that addOwn sets.
func ownInPlace(c *nftables.Conn, r *record) bool {
	t := ownTable()
	for _, j := range ruleset(r) {
		want := make([]string, len(j.rules))
		for i, ru := range j.rules {
			want[i] = ru.comment
		}
		if !sameRules(c, t, j.chain(r), want) || !sameRules(c, t, j.base.Name, []string{baseComment}) || !j.mapped(c, t, r) {
			return false
		}
	}
	return true
}

func sameRules(c *nftables.Conn, t *nftables.Table, chain string, want []string) bool {
	rules, err := c.GetRules(t, &nftables.Chain{Table: t, Name: chain})
	if err != nil || len(rules) != len(want) {
		return false
	}
	for i, ru := range rules {
		if commentOf(ru) != want[i] {
			return false
		}
	}
	return true
}

func (j *jump) mapped(c *nftables.Conn, t *nftables.Table, r *record) bool {
	elements, err := c.GetSetElements(j.verdictMap(t))
	if err != nil {
		return false
	}
	for _, e := range elements {
		if bytes.Equal(e.Key, padded(r.Bridge, 16)) {
			return leadsTo(e) == j.chain(r)
		}
	}
	return false
}

// leadsTo is the chain that an element of a verdict map jumps to. The library leaves it as the kernel's
// attributes.
func leadsTo(e nftables.SetElement) (chain string) {
	attrs(e.Val, func(kind uint16, data []byte) {
		if kind == unix.NFTA_VERDICT_CHAIN {
			chain = cstring(data)
		}
	})
	return chain
}

// removeRules takes away what setRules set for this network, also in the host's chains. The table goes
// with its last network.
func removeRules(r *record) error {
	c, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return noFilter(err)
	}
	defer c.CloseLasting()
	if err := closeForward(c, r); err != nil {
		return err
	}
	t := ownTable()
	if !tableStands(c) {
		return nil
	}
	if lastNetwork(c, t, r) {
		c.DelTable(t)
	} else if err := delOwn(c, t, r); err != nil {
		return err
	}
	if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return &container.Error{Verb: "remove rules of bridge", Object: r.Bridge, Cause: err}
	}
	return nil
}

// anyNetwork says whether a network of any installation has rules here.
func anyNetwork() bool {
	c, err := nftables.New()
	return err == nil && tableStands(c)
}

func tableStands(c *nftables.Conn) bool {
	tables, err := c.ListTablesOfFamily(ownTable().Family)
	if err != nil {
		return false
	}
	for _, t := range tables {
		if t.Name == ownTable().Name {
			return true
		}
	}
	return false
}

// lastNetwork says that the table's maps lead to no other bridge.
func lastNetwork(c *nftables.Conn, t *nftables.Table, r *record) bool {
	for _, j := range ruleset(r) {
		elements, _ := c.GetSetElements(j.verdictMap(t))
		for _, e := range elements {
			if !bytes.Equal(e.Key, padded(r.Bridge, 16)) {
				return false
			}
		}
	}
	return true
}

func delOwn(c *nftables.Conn, t *nftables.Table, r *record) error {
	for _, j := range ruleset(r) {
		if j.mapped(c, t, r) {
			if err := c.SetDeleteElements(j.verdictMap(t), []nftables.SetElement{j.element(r)}); err != nil {
				return err
			}
		}
		own := &nftables.Chain{Table: t, Name: j.chain(r)}
		if _, err := c.ListChain(t, own.Name); err == nil {
			c.FlushChain(own)
			c.DelChain(own)
		}
	}
	return nil
}

func comment(text string) []byte {
	return userdata.AppendString(nil, userdata.TypeComment, text)
}

// commentOf reads a rule's comment; rules of others may carry anything, so lengths are checked here
// (the library's reader trusts them).
func commentOf(r *nftables.Rule) string {
	for b := r.UserData; len(b) >= 2 && len(b) >= 2+int(b[1]); b = b[2+int(b[1]):] {
		if userdata.Type(b[0]) == userdata.TypeComment {
			return cstring(b[2 : 2+int(b[1])])
		}
	}
	return ""
}

// Parts of rules.

func join(parts ...[]expr.Any) []expr.Any {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func verdict(k expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: k}} }

// padded is an interface name in length bytes.
func padded(name string, length int) []byte {
	return append([]byte(name), make([]byte, max(0, length-len(name)))...)
}

func iface(key expr.MetaKey, name string, op expr.CmpOp, length int) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: padded(name, length)}}
}

func notIPv4() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: []byte{unix.NFPROTO_IPV4}}}
}

// Offsets of the addresses in an IPv4 header (RFC 791).
const (
	source      = 12
	destination = 16
)

// address compares an address of an IPv4 packet with a prefix. Other packets don't match.
func address(offset uint32, p netip.Prefix, op expr.CmpOp) []expr.Any {
	var mask [4]byte
	for bit := range p.Bits() {
		mask[bit/8] |= 0x80 >> (bit % 8)
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.NFPROTO_IPV4}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask[:], Xor: make([]byte, 4)},
		&expr.Cmp{Op: op, Register: 1, Data: p.Masked().Addr().AsSlice()},
	}
}

// ctStatusDNAT is IPS_DST_NAT: the connection's destination was translated, so its port is published.
const ctStatusDNAT = 1 << 5

func ctState() []expr.Any {
	return ctBits(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

func ctBits(key expr.CtKey, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// describeChain is a chain as `nft list chain` takes it.
func describeChain(ch *nftables.Chain) string {
	family := "inet"
	if ch.Table.Family == nftables.TableFamilyIPv4 {
		family = "ip"
	}
	return fmt.Sprintf("%s %s %s", family, ch.Table.Name, ch.Name)
}
