# What is known of a NIC before the machine exists.

variable "name" {
  description = "The machine's name in libvirt"
  type        = string
  nullable    = false
  validation {
    condition     = can(regex("^[^/]+$", var.name))
    error_message = "A machine's name is not empty, and libvirt accepts no slash in it."
  }
}

variable "network" {
  description = "The name of the network in virlan.ini"
  type        = string
  nullable    = false
  default     = "k8s-br0"
}

variable "nic" {
  description = "The number of the NIC among those that the machine has on this network, from 0"
  type        = number
  nullable    = false
  default     = 0
}

variable "subnet" {
  description = "subnet of the network in virlan.ini"
  type        = string
  nullable    = false
  default     = "192.168.100.0/24"
  validation {
    condition     = can(cidrhost(var.subnet, 1)) && !can(regex(":", var.subnet))
    error_message = "It is an IPv4 network, such as 192.168.100.0/24."
  }
}

variable "dhcp_range" {
  description = "dhcp-range of the network in virlan.ini, if it has one"
  type        = string
  default     = null
}

variable "fixed_addresses" {
  description = "The addresses of the sections [host.NAME] in virlan.ini, which machines do not get"
  type        = list(string)
  nullable    = false
  default     = []
}

variable "ip" {
  description = "An address in the place of the formula's"
  type        = string
  default     = null
}

variable "hostname" {
  description = "A host name in the place of the one that follows from the name"
  type        = string
  default     = null
}

variable "aliases" {
  description = "More names for the machine, such as *.apps"
  type        = list(string)
  nullable    = false
  default     = []
}

variable "forwards" {
  description = "Ports of the host that lead to the machine: docs/forwards.md has the attributes"
  type = list(object({
    port     = string
    to       = optional(string)
    protocol = optional(string)
    address  = optional(string)
    from     = optional(string)
  }))
  nullable = false
  default  = []
}
