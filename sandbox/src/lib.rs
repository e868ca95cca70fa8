//! Stand-ins that speak the CRMs' wire, with faults on demand.
