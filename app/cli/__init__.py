"""The command `ilora`: one file per sub-command."""
