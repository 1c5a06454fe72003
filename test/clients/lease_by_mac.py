"""lease_by_mac.py NAME NETWORK[=MAC]...: defines a machine with a NIC on each network, remembers the MACs,
prints "defined", starts the machine when it reads a line, and searches for leases of the remembered MACs, all
on one connection, as minikube, kcli and Terraform do. Prints the remembered MACs, those of the running
machine, and the addresses found, as JSON."""
import json
import sys
import time
import xml.etree.ElementTree as ET

import libvirt

NIC = "<interface type='network'>{}<source network='{}'/><model type='virtio'/><boot order='{}'/></interface>"
DOMAIN = """<domain type='qemu'><name>{}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>{}</devices></domain>"""


def nic_xml(order, network, mac):
    """Returns the XML of a NIC, with a MAC unless that is empty. NICs boot in order."""
    return NIC.format(f"<mac address='{mac}'/>" if mac else "", network, order)


def macs_of(domain, flags):
    """Returns the MACs of a domain's NICs in their order."""
    xml = ET.fromstring(domain.XMLDesc(flags))
    return [mac.get("address") for mac in xml.iterfind("devices/interface/mac")]


def await_lease(network, mac, seconds):
    """Returns the address that libvirt knows as leased to a MAC, or None if there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for lease in network.DHCPLeases(mac):
            return lease["ipaddr"]
        time.sleep(0.1)
    return None


name, *nics = sys.argv[1:]
wanted = [nic.partition("=")[::2] for nic in nics]
connection = libvirt.open("qemu:///system")
networks = [connection.networkLookupByName(network) for network, _ in wanted]
xml = "".join(nic_xml(order, *nic) for order, nic in enumerate(wanted, 1))
domain = connection.defineXML(DOMAIN.format(name, xml))
remembered = macs_of(domain, libvirt.VIR_DOMAIN_XML_INACTIVE)
print("defined", flush=True)
sys.stdin.readline()
domain.create()
live = macs_of(domain, 0)
# A MAC that the machine does not have is not waited for.
addresses = [
    await_lease(network, mac, 120 if mac in live else 0) for network, mac in zip(networks, remembered)
]
by_domain = domain.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE)
print(json.dumps({
    "remembered": remembered,
    "live": live,
    "addresses": addresses,
    "byDomain": [address["addr"] for nic in by_domain.values() for address in nic["addrs"] or []],
}))
