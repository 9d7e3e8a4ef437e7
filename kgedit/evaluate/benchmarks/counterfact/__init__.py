"""CounterFact and CounterFactPlus (Meng et al., 2022; Yao et al., 2023)."""
