"""Attribution: from readings as they were sealed, and master data, to the series and stands of metering points."""
