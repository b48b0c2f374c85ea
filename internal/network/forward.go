package network

import (
	"errors"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"

	"gourd/internal/container"
)

// The host's own chains decide beside gourd's: an accept in one table doesn't overrule a drop in
// another. Where one of them drops what is forwarded (the policy that dockerd and ufw leave behind),
// gourd adds two tagged rules, as far back in it as they still work, so that whatever its owner drops
// by a rule stays dropped. Incoming connections get none: they are the owner's decision.

// opening are the rules for one bridge, in the words of the table they go to.
func opening(ch *nftables.Chain, r *record) []rule {
	length, state := 16, ctState()
	if iptablesChain(ch) {
		// iptables-nft lists only what it could have written itself; other rules make it refuse the table.
		length, state = len(r.Bridge)+1, []expr.Any{&expr.Match{Name: "conntrack", Rev: 3, Info: establishedOrRelated()}}
	}
	count := []expr.Any{&expr.Counter{}}
	return []rule{
		{"gourd: containers on " + r.Bridge + " may connect", join(iface(expr.MetaKeyIIFNAME, r.Bridge, expr.CmpOpEq, length), count, verdict(expr.VerdictAccept))},
		{"gourd: replies to " + r.Bridge, join(iface(expr.MetaKeyOIFNAME, r.Bridge, expr.CmpOpEq, length), state, count, verdict(expr.VerdictAccept))},
	}
}

// iptablesChain says that iptables-nft keeps this chain.
func iptablesChain(ch *nftables.Chain) bool {
	return ch.Table.Family == nftables.TableFamilyIPv4 && ch.Table.Name == "filter" && ch.Name == "FORWARD"
}

// establishedOrRelated is `-m conntrack --ctstate RELATED,ESTABLISHED` (linux/netfilter/xt_conntrack.h).
func establishedOrRelated() xt.InfoAny {
	const established, related = 1 << 1, 1 << 2 // XT_CONNTRACK_STATE_BIT
	m := &xt.ConntrackMtinfo3{}
	m.MatchFlags, m.StateMask = uint16(xt.ConntrackState), established|related
	zero := make([]byte, 4)
	m.OrigSrcAddr, m.OrigSrcMask, m.OrigDstAddr, m.OrigDstMask = zero, zero, zero, zero
	m.ReplSrcAddr, m.ReplSrcMask, m.ReplDstAddr, m.ReplDstMask = zero, zero, zero, zero
	return m
}

// forwardChains lists others' base chains through which forwarded IPv4 packets go.
func forwardChains(c *nftables.Conn) ([]*nftables.Chain, error) {
	var found []*nftables.Chain
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyINet} {
		chains, err := c.ListChainsOfTableFamily(family)
		if err != nil {
			return nil, err
		}
		for _, ch := range chains {
			own := ch.Table.Family == nftables.TableFamilyINet && ch.Table.Name == ownTable().Name
			if !own && ch.Hooknum != nil && *ch.Hooknum == *nftables.ChainHookForward && ch.Type == nftables.ChainTypeFilter {
				found = append(found, ch)
			}
		}
	}
	return found, nil
}

// openForward adds the rules where they are missing and needed.
func openForward(c *nftables.Conn, r *record) (changed bool, err error) {
	chains, err := forwardChains(c)
	if err != nil {
		return false, err
	}
	for _, ch := range chains {
		rules, err := c.GetRules(ch.Table, ch)
		if errors.Is(err, unix.ENOENT) {
			continue // gone since it was listed
		}
		if err != nil {
			return changed, err
		}
		before, drops := dropsAt(ch, rules)
		if !drops {
			continue
		}
		missing := missingRules(rules, opening(ch, r))
		for _, ru := range missing {
			add := &nftables.Rule{Table: ch.Table, Chain: ch, Exprs: ru.exprs, UserData: comment(ru.comment), Position: before}
			if before != 0 {
				c.InsertRule(add)
			} else {
				c.AddRule(add)
			}
		}
		if len(missing) == 0 {
			continue
		}
		if err := c.Flush(); err != nil {
			return changed, &container.Error{Verb: "let containers out through the host's chain", Object: describeChain(ch), Cause: err}
		}
		changed = true
	}
	return changed, nil
}

// dropsAt says whether a chain drops what none of its rules decides: by a last rule that drops or rejects
// everything, whose handle it gives, or by its policy (handle 0).
func dropsAt(ch *nftables.Chain, rules []*nftables.Rule) (before uint64, drops bool) {
	if len(rules) > 0 {
		end := rules[len(rules)-1]
		if refusesAll(end) {
			return end.Handle, true
		}
	}
	return 0, ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop
}

// refusesAll says that a rule has no condition and drops or rejects.
func refusesAll(r *nftables.Rule) bool {
	for i, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Counter, *expr.Log:
		case *expr.Reject:
			return true
		case *expr.Verdict:
			return e.Kind == expr.VerdictDrop
		case *expr.Target: // iptables-nft's `-j REJECT`
			return e.Name == "REJECT" && i == len(r.Exprs)-1
		default:
			return false
		}
	}
	return false
}

func missingRules(have []*nftables.Rule, want []rule) []rule {
	var missing []rule
	for _, w := range want {
		found := false
		for _, h := range have {
			found = found || commentOf(h) == w.comment
		}
		if !found {
			missing = append(missing, w)
		}
	}
	return missing
}

// closeForward removes the bridge's rules from the host's chains.
func closeForward(c *nftables.Conn, r *record) error {
	chains, err := forwardChains(c)
	if err != nil {
		return noFilter(err)
	}
	for _, ch := range chains {
		rules, err := c.GetRules(ch.Table, ch)
		if err != nil {
			continue
		}
		for _, ru := range rules {
			for _, own := range opening(ch, r) {
				if commentOf(ru) == own.comment {
					if err := c.DelRule(ru); err != nil {
						return err
					}
				}
			}
		}
		if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
			return &container.Error{Verb: "remove rules from the host's chain", Object: describeChain(ch), Cause: err}
		}
	}
	return nil
}
