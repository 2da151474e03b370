"""A server of models on loopback, for connectors: OpenAI's, Cohere's, SageMaker's and Bedrock's ways of asking."""
