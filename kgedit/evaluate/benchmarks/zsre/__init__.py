"""zsRE question answering (Levy et al., 2017; Mitchell et al., 2022)."""
