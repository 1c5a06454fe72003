output "mac" {
  description = "The MAC of the NIC"
  value       = local.mac
}

output "ip" {
  description = "The address of the NIC"
  value       = local.address
}

output "metadata" {
  description = "virlan's element for the metadata of the machine, if this is its first NIC"
  value       = local.metadata
}
