package container

import (
	"fmt"
	"strconv"
	"strings"
)

// ExpandPorts reads ports as EXPOSE and --expose spell them, "80", "53/udp", "8000-8010/tcp", and gives each as
// "80/tcp". Without a protocol it is tcp.
func ExpandPorts(s string) ([]string, error) {
	ports, protocol, given := strings.Cut(s, "/")
	if !given {
		protocol = "tcp"
	}
	protocol = strings.ToLower(protocol)
	if protocol != "tcp" && protocol != "udp" && protocol != "sctp" {
		return nil, fmt.Errorf("%q is not tcp, udp or sctp", protocol)
	}
	low, high, isRange := strings.Cut(ports, "-")
	if !isRange {
		high = low
	}
	a, err1 := strconv.ParseUint(low, 10, 16)
	b, err2 := strconv.ParseUint(high, 10, 16)
	if err1 != nil || err2 != nil || a > b {
		return nil, fmt.Errorf("%q is not a port or a range of ports", ports)
	}
	var list []string
	for n := a; n <= b; n++ {
		list = append(list, strconv.FormatUint(n, 10)+"/"+protocol)
	}
	return list, nil
}
