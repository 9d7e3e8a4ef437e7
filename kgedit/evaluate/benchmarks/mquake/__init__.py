"""MQuAKE (Zhong et al., 2023): multi-hop questions across edited facts."""
