"""What can be wrong with a row: twenty checks that tag and say why.

Does not know what is done about a finding.
"""
