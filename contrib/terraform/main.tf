# The formula of docs/identity.md: a machine's MAC and address from its name, known when Terraform plans. No provider is
# needed, and nothing is created.

terraform {
  # 1.3 introduced optional() in the types of variables.
  required_version = ">= 1.3"
}

locals {
  key      = "${var.network}/${var.name}/${var.nic}"
  mac_hash = sha256("virlan:mac:${local.key}:0")
  mac      = join(":", ["52", "54", "00", substr(local.mac_hash, 0, 2), substr(local.mac_hash, 2, 2), substr(local.mac_hash, 4, 2)])

  # Addresses as numbers. The host has the first one of the subnet, which no range contains.
  range = var.dhcp_range == null ? [cidrhost(var.subnet, 2), cidrhost(var.subnet, -2)] : split("-", replace(var.dhcp_range, " ", ""))
  numbers = {
    for address in distinct(concat(local.range, var.fixed_addresses)) : address => sum([
      for position, part in split(".", address) : tonumber(part) * [16777216, 65536, 256, 1][position]
    ])
  }
  first = local.numbers[local.range[0]]
  last  = local.numbers[local.range[1]]

  # Places in the range that no machine gets, in ascending order. sort() compares texts.
  excluded = [
    for place in sort(distinct([
      for address in var.fixed_addresses : format("%010d", local.numbers[address] - local.first)
      if local.numbers[address] >= local.first && local.numbers[address] <= local.last
    ])) : tonumber(place)
  ]

  # A place in the pool, which is the range without what is excluded: each place before it moves it by one.
  pool_size = local.last - local.first + 1 - length(local.excluded)
  place     = parseint(substr(sha256("virlan:ip:${local.key}:0"), 0, 8), 16) % local.pool_size
  moved     = length([for index, excluded in local.excluded : excluded if excluded - index <= local.place])
  address   = var.ip == null ? cidrhost("0.0.0.0/0", local.first + local.place + local.moved) : var.ip

  # The address is in the metadata, so that virlan gives the machine this one, or says why it cannot.
  machine = { ip = local.address, hostname = var.hostname, aliases = join(" ", var.aliases) }
  attributes = [
    for element in concat([local.machine], var.forwards) : join("", [
      for name, value in element : " ${name}=\"${replace(replace(replace(value, "&", "&amp;"), "<", "&lt;"), "\"", "&quot;")}\""
      if value != null && value != ""
    ])
  ]
  forwards = join("", [for forward in slice(local.attributes, 1, length(local.attributes)) : "<virlan:forward${forward}/>"])
  metadata = "<virlan:machine xmlns:virlan=\"urn:virlan:machine:1\"${local.attributes[0]}>${local.forwards}</virlan:machine>"
}
