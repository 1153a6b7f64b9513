"""The door for temporary credentials, as AWS STS has it (https://docs.aws.amazon.com/STS/latest/APIReference/)."""
