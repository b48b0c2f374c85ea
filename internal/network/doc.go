// Package network connects containers: the bridge, its firewall rules, the lease of an address, and the
// pair of interfaces into a container's network namespace. It also renders the three files that a
// container has about names: resolv.conf, hosts and hostname.
//
//	ROOT/networks/NAME.json        what the network is: bridge, subnet, what gourd changed for it
//	STATE/networks/NAME/ADDRESS    symbolic link to the id of the container that has the address
//	STATE/networks/NAME.ready      what the host and NAME.json were when everything was last found in place
//	STATE/networks/NAME.lock       held while bridge and rules are being made
//
// Nothing here belongs to a running process. The kernel removes a pair of interfaces with the
// container's namespace; addresses of the dead come back with Sweep; bridge and rules are looked at
// before each attach, which is cheap while nobody changed the packet filter.
package network
